"""Faults in BUILD files: each with its place and advice, many told together in one report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lamina.core.errors import UserError


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
    """One or several faults, sorted by place; a single one has its hint where errors have it."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(sorted(set(faults)))
        if len(self.faults) == 1:
            super().__init__(str(self.faults[0]), hint=self.faults[0].hint or None)
        else:
            super().__init__("\n".join(_with_hint(fault) for fault in self.faults))


def _with_hint(fault: Fault) -> str:
    return f"{fault}\n  hint: {fault.hint}" if fault.hint else str(fault)


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that was most likely meant, or ""."""
    import difflib  # met only by who made a fault

    found = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return found[0] if found else ""


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "", form: str = "{}") -> str:
    """A hint that names the nearest known word, shown in the given form."""
    found = nearest(word, known)
    return f"did you mean `{form.format(found)}`?" if found else otherwise
