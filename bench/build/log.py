"""What was measured, in a file with a JSON document a line, so that nothing is lost at an end."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Entry:
    """One measurement; in seconds or, of memory, in bytes."""

    repository: str  # `mixed-200`
    scenario: str
    tool: str
    run: int  # when it began, in seconds: rounds are counted anew in each
    round: int
    value: float
    ran: int | None = None
    compiled: int | None = None


class Log:
    """Measurements, each in the file as soon as it was made; more of them are added to a file."""

    def __init__(self, path: Path | None) -> None:
        self.entries: list[Entry] = []
        self._path = path

    def describe(self, machine: dict[str, str]) -> None:
        """Say on what the following was measured."""
        self._write({"machine": machine})

    def add(self, entry: Entry) -> None:
        """Keep one measurement."""
        self.entries.append(entry)
        self._write({name: value for name, value in asdict(entry).items() if value is not None})

    def _write(self, document: object) -> None:
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(document) + "\n")


def read(paths: Iterable[Path]) -> list[Entry]:
    """The measurements of some files; an interrupted last line is left out."""
    entries = []
    for path in paths:
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            document = json.loads(line) if line.endswith("\n") else {}
            if "scenario" in document:
                entries.append(Entry(**document))
    return entries
