"""The list of builds of a workspace: one line of JSON for each, in the order in which they ended.

    {"number": 7, "begun": 1700000000.0, "seconds": 0.42, "words": ["build", "//..."], …}

A build that did nothing costs no more than its line. What others did is in a file of its own
(`details`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lamina.core import classes
from lamina.core.classes import dataclass, field
from lamina.linux import filesystem

_KEPT = 500  # builds
_TOO_LONG = 1 << 20  # bytes, beyond which only those are kept
_TAIL = 1 << 16  # bytes from the end in which the last line is looked for
_LOOKED_AT = 4  # last lines, of which one may be half-written

Phase = tuple[str, float, float]  # name, begin and end in seconds since the build began


@dataclass(frozen=True, slots=True)
class Entry:
    """One build."""

    begun: float  # seconds since 1970
    seconds: float
    words: tuple[str, ...]  # of the command line
    result: str  # `succeeded`, `failed` or `interrupted`
    ran: int = 0  # actions
    cached: int = 0
    failed: int = 0
    jobs: int = 1
    message: str = ""  # the first line of what ended it
    phases: tuple[Phase, ...] = field(default=())
    number: int = 0


def append(folder: Path, entry: Entry, scratch: Path | None = None) -> int:
    """Add a build to the list; returns its number. `scratch` as for `write_atomic`."""
    path = _path(folder)
    with filesystem.locked(folder / "lock"):
        number = _last(path) + 1
        fields = {name: getattr(entry, name) for name in classes.names(Entry)}
        line = json.dumps({**fields, "number": number}, separators=(",", ":"))
        with open(filesystem.open_shared(path, os.O_APPEND), "ab") as file:  # noqa: PTH123
            file.write(f"{line}\n".encode())
            length = file.tell()
        if length > _TOO_LONG:
            lines = path.read_bytes().splitlines(keepends=True)[-_KEPT:]
            filesystem.write_atomic(path, b"".join(lines), scratch=scratch)
    return number


def read(folder: Path) -> list[Entry]:
    """All builds, the oldest first; a line that a power cut left half-written is passed over."""
    try:
        lines = _path(folder).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    return list(_entries(lines))


def _entries(lines: list[bytes]) -> Iterator[Entry]:
    for line in lines:
        try:
            fields: dict[str, Any] = json.loads(line)
            words, phases = tuple(fields.pop("words")), tuple(map(tuple, fields.pop("phases")))
            yield Entry(words=words, phases=phases, **fields)
        except (ValueError, TypeError, KeyError, AttributeError):
            continue


def _last(path: Path) -> int:
    """The number of the last build; 0 where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            tail = file.read().splitlines()[-_LOOKED_AT:]
    except FileNotFoundError:
        return 0
    return max((entry.number for entry in _entries(tail)), default=0)


def _path(folder: Path) -> Path:
    return folder / "builds"
