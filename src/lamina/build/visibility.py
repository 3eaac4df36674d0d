"""Who may depend on a target: one canonical text for the words of both dialects."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from lamina.build.coerce import BadValue, Complaint
from lamina.core.errors import UserError
from lamina.core.label import Home, Label, Pattern

PUBLIC = "PUBLIC"
PRIVATE = "PRIVATE"
_WORDS = {
    PUBLIC: PUBLIC,
    PRIVATE: PRIVATE,
    "//visibility:public": PUBLIC,
    "//visibility:private": PRIVATE,
    "//visibility:legacy_public": PUBLIC,
}


def canonical(entries: Sequence[str], home: Home, attribute: str) -> tuple[str, ...]:
    """The entries as PUBLIC, PRIVATE or patterns; raises BadValue with all that are none."""
    found, complaints = [], []
    for entry in entries:
        try:
            found.append(_WORDS.get(entry) or _pattern(entry, home))
        except UserError:
            message = f"not a visibility: `{entry}`"
            hint = 'write `["PUBLIC"]`, or labels and patterns such as `["//a:b", "//c/..."]`'
            complaints.append(Complaint(message, hint, attribute, entry))
    if complaints:
        raise BadValue(complaints)
    return tuple(found)


def _pattern(entry: str, home: Home) -> str:
    head, colon, name = entry.partition(":")
    if colon and name == "__pkg__":
        entry = f"{head}:all"
    elif colon and name == "__subpackages__":
        folder = head or f"//{home.package}"
        entry = f"{folder}..." if folder.endswith("//") else f"{folder}/..."
    elif not entry.startswith(("//", ":", "@")):
        raise UserError("", hint=f"did you mean `//{entry}` or `:{entry}`?")
    return str(home.pattern(entry))


def admits(visibility: Sequence[str], owner: Label, asker: Label) -> bool:
    """Whether what `owner` names, of the given visibility, may be used by `asker`."""
    if owner.package == asker.package and owner.cell == asker.cell:
        return True
    return any(
        entry == PUBLIC or (entry != PRIVATE and _parsed(entry).matches(asker))
        for entry in visibility
    )


@lru_cache(maxsize=4096)
def _parsed(entry: str) -> Pattern:
    return Pattern.parse(entry)
