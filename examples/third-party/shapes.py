"""Shapes, as values."""

import attrs


@attrs.frozen
class Square:
    side: float

    @property
    def area(self) -> float:
        return self.side**2
