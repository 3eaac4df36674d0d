"""What was seen of a repository, read from what lamina writes, and the table of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

_LEFT_OUT = re.compile(r"^(\d+) targets? left out: (.*)$", re.MULTILINE)
_HEAD = ("repository", "version", "targets", "built", "failed", "left out", "tests", "passed")
_PASSED = "PASSED"
_FAULTS = "faults in BUILD files"


@dataclass(frozen=True, slots=True)
class Row:
    """A repository: how many of its targets were built and how many tests passed."""

    name: str
    version: str
    targets: int = 0  # that loading gives
    built: int = 0
    failed: tuple[str, ...] = ()  # labels
    left_out: tuple[tuple[int, str], ...] = ()  # how many, and why
    tests: Mapping[str, int] = field(default_factory=dict)  # how they ended -> how many
    not_passed: tuple[str, ...] = ()  # labels of tests
    build_seconds: float = 0.0
    test_seconds: float = 0.0
    ended: str = ""  # why it could not go on, or ""

    @property
    def good(self) -> bool:
        """Whether all was built that was not left out, and every test passed."""
        faults = any(reason == _FAULTS for _, reason in self.left_out)
        return not (self.failed or self.not_passed or self.ended or faults)


def built(report: Mapping[str, Any]) -> tuple[int, tuple[str, ...]]:
    """How many targets a build report has as built, and those that failed."""
    results = {label: result["success"] for label, result in report["results"].items()}
    failed = tuple(label for label, result in results.items() if result != "SUCCESS")
    return len(results) - len(failed), failed


def left_out(messages: str) -> tuple[tuple[int, str], ...]:
    """What a build says that it left out: how many targets, and why."""
    return tuple((int(count), reason) for count, reason in _LEFT_OUT.findall(messages))


def tested(document: Mapping[str, Any]) -> tuple[dict[str, int], tuple[str, ...]]:
    """How many tests ended how, and which did not pass."""
    ends = {test["label"]: test["status"] for test in document.get("tests", ())}
    others = tuple(label for label, status in ends.items() if status != _PASSED)
    return dict(Counter(ends.values())), others


def table(rows: Iterable[Row]) -> str:
    """The table, and below it what failed and why something was left out."""
    rows = list(rows)
    cells = [_HEAD, *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    ruled = [cells[0], tuple("-" * width for width in widths), *cells[1:]]
    lines = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in ruled]
    return "\n".join([*lines, "", *(note for row in rows for note in _notes(row))]).rstrip()


def _cells(row: Row) -> tuple[str, ...]:
    left = sum(count for count, _ in row.left_out)
    numbers = (row.targets, row.built, len(row.failed), left, sum(row.tests.values()))
    return (row.name, row.version, *map(str, numbers), str(row.tests.get(_PASSED, 0)))


def _notes(row: Row) -> list[str]:
    notes = [f"{row.name}: {row.ended}"] if row.ended else []
    notes += [f"{row.name}: {count} left out: {reason}" for count, reason in row.left_out]
    if row.failed:
        notes.append(f"{row.name}: not built: {' '.join(row.failed)}")
    if row.not_passed:
        notes.append(f"{row.name}: not passed: {' '.join(row.not_passed)}")
    return notes
