"""Faults in BUILD files: each with its place and advice, many told together in one report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lamina.core.classes import dataclass, field
from lamina.core.errors import UserError
from lamina.core.label import Label


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A point in a file of the workspace; line and column count from 1, 0 means unknown."""

    path: str  # relative to the root of the workspace
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        numbers = [str(number) for number in (self.line, self.column) if number]
        return ":".join([self.path, *numbers])


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing that is wrong; without a path in its place it came from the command line."""

    place: Place
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place.path else self.message


NOWHERE = Place("")


class FaultReport(UserError):
    """One or several faults, sorted by place; a single one has its hint where errors have it.

    Where many places have the same fault it is told once.
    """

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(sorted(set(faults)))
        if len(self.faults) == 1:
            super().__init__(str(self.faults[0]), hint=self.faults[0].hint or None)
        else:
            super().__init__("\n".join(_lines(self.faults)))


@dataclass(slots=True)
class Tolerance:
    """What is put up with for the sake of the rest: faults, and the targets that they cost."""

    faults: list[Fault] = field(default_factory=list)
    lost: set[Label] = field(default_factory=set)


_SHOWN = 3  # further places of a fault that is the same in all of them


def _lines(faults: Iterable[Fault]) -> Iterator[str]:
    places: dict[tuple[str, str], list[Place]] = {}
    for fault in faults:
        places.setdefault((fault.message, fault.hint), []).append(fault.place)
    for (message, hint), (first, *others) in places.items():
        yield str(Fault(first, message))
        if others:
            shown = [f"`{place}`" for place in others[:_SHOWN]]
            more = [f"{len(others) - _SHOWN} more places"] if len(others) > _SHOWN else []
            yield f"  also at {', '.join(shown + more)}"
        if hint:
            yield f"  hint: {hint}"


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that was most likely meant, or ""."""
    import difflib  # met only by who made a fault

    found = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return found[0] if found else ""


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "", form: str = "{}") -> str:
    """A hint that names the nearest known word, shown in the given form."""
    found = nearest(word, known)
    return f"did you mean `{form.format(found)}`?" if found else otherwise
