"""Which lines ran: what coverage.py and gcov tell, in the form of lcov.

geninfo(1) of lcov describes the format: `SF:` begins a file, `DA:line,count` is a
line of it, `LF:` and `LH:` count those that can run and those that did.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from lamina.core.classes import dataclass, field


@dataclass(slots=True)
class Coverage:
    """How often each line of each file ran."""

    lines: dict[str, dict[int, int]] = field(default_factory=dict)  # path -> line -> count

    def add(self, path: str, line: int, count: int) -> None:
        """A line ran so often, besides what is known."""
        known = self.lines.setdefault(path, {})
        known[line] = known.get(line, 0) + max(count, 0)

    def add_lcov(self, text: str, places: Mapping[str, str], root: str) -> None:
        """What coverage.py tells of files below a root; `places` are their paths in the workspace.

        Files that are not in the workspace are left out.
        """
        path: str | None = None
        for line in text.splitlines():
            tag, _, value = line.partition(":")
            if tag == "SF":
                path = places.get(value.removeprefix(f"{root}/"))
            elif tag == "DA" and path is not None:
                number, count = value.split(",")[:2]
                self.add(path, int(number), int(count))

    def add_gcov(self, text: str) -> None:
        """What gcov tells as JSON, a document a line."""
        for line in filter(str.strip, text.splitlines()):
            for file in json.loads(line)["files"]:
                for each in file["lines"]:
                    self.add(file["file"], each["line_number"], each["count"])

    def only(self, wanted: Iterable[str]) -> Coverage:
        """That of some files."""
        return Coverage({path: self.lines[path] for path in sorted(wanted) if path in self.lines})

    def text(self) -> str:
        """All of it as lcov has it."""
        parts = []
        for path, lines in sorted(self.lines.items()):
            parts += ["TN:", f"SF:{path}"]
            parts += [f"DA:{line},{count}" for line, count in sorted(lines.items())]
            parts += [f"LF:{len(lines)}", f"LH:{_hit(lines)}", "end_of_record"]
        return "".join(f"{part}\n" for part in parts)

    def table(self) -> list[tuple[str, str, str]]:
        """File, lines that ran of how many, and how many are that in a hundred."""
        rows = [(path, _hit(lines), len(lines)) for path, lines in sorted(self.lines.items())]
        rows.append(("all", sum(row[1] for row in rows), sum(row[2] for row in rows)))
        return [
            (path, f"{hit}/{count}", f"{100 * hit / count:.1f} %" if count else "-")
            for path, hit, count in rows
        ]


def _hit(lines: Mapping[int, int]) -> int:
    return sum(count > 0 for count in lines.values())
