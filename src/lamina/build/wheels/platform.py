"""What an interpreter is, as wheels and markers see it: which wheels fit, which markers hold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.core.classes import dataclass
from lamina.formats.pylock import Archive

if TYPE_CHECKING:
    from lamina.linux.versions import ToolVersions

# Asked of the interpreter itself: the tags are those of its own system and libraries.
_ASK = """
import json, sys
sys.path.insert(0, sys.argv[1])
from packaging import markers, tags
print(json.dumps([markers.default_environment(), [str(tag) for tag in tags.sys_tags()]]))
"""


@dataclass(frozen=True, slots=True)
class Platform:
    """An interpreter on its system."""

    environment: Mapping[str, str]  # variables of markers
    ranks: Mapping[str, int]  # tag, `cp311-cp311-manylinux_2_36_x86_64` -> its rank, 0 is best

    def holds(self, marker: str) -> bool:
        """Whether a marker of PEP 508 holds; raises UserError for what is none."""
        if not marker:
            return True
        from packaging.markers import InvalidMarker, Marker

        from lamina.core.errors import UserError

        try:
            return Marker(marker).evaluate(dict(self.environment))
        except InvalidMarker as error:
            raise UserError(f"not a marker: `{marker}`") from error

    def best(self, wheels: Iterable[Archive]) -> Archive | None:
        """The wheel that fits best, or None: by its tags, then by its build number."""
        ranked = [(rank, wheel) for wheel in wheels if (rank := self.rank(wheel.name)) is not None]
        return min(ranked, key=lambda pair: pair[0])[1] if ranked else None

    def rank(self, name: str) -> tuple[int, int, str] | None:
        """How well a wheel fits, by its file name, the least being best; None where it does not."""
        parts = name.removesuffix(".whl").split("-")
        if not name.endswith(".whl") or len(parts) not in (5, 6):
            return None
        pythons, abis, platforms = (part.split(".") for part in parts[-3:])
        tags = (f"{py}-{abi}-{system}" for py in pythons for abi in abis for system in platforms)
        ranks = [self.ranks[tag] for tag in tags if tag in self.ranks]
        if not ranks:
            return None
        digits = "".join(c for c in parts[2] if c.isdecimal()) if len(parts) == 6 else ""
        return min(ranks), -int(digits or 0), name


def ask(python: Path, versions: ToolVersions) -> Platform:
    """What an interpreter says of itself; the answer is kept."""
    import packaging

    assert packaging.__file__ is not None
    site = str(Path(packaging.__file__).parents[1])
    environment, tags = json.loads(versions.ask(python, "-I", "-S", "-c", _ASK, site))
    return Platform(environment, {tag: rank for rank, tag in reversed(list(enumerate(tags)))})
