"""Histories from ChangeLogs: GNU projects write down for each change the files that it touched.

An entry begins with a line of date and name; below, indented, `* file (function): what` names
files, several with commas between. www.gnu.org/prep/standards, "Change Logs".
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from bench.histories import Past

_ENTRY = re.compile(r"^\d{4}-\d\d-\d\d ")
_FILES = re.compile(r"^\s+\* ([^:(\[]+)")


def read(file: Path, folder: Path) -> Past:
    """The changes that a ChangeLog tells of to files that are in a folder now."""
    data = file.read_bytes()
    text = (gzip.decompress(data) if file.suffix == ".gz" else data).decode(errors="replace")
    sizes = {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }
    commits = tuple(reversed(list(_entries(text, sizes))))
    first: dict[str, int] = {}
    for number, files in enumerate(commits):
        for path in files:
            first.setdefault(path, number)

    def sizes_at(count: int) -> dict[str, int]:
        return {path: size for path, size in sizes.items() if first.get(path, -1) < count}

    texts = (
        (path, (folder / path).read_text(errors="replace"))
        for path in sizes
        if path.endswith((".c", ".h", ".py"))
    )
    return Past(f"{folder.name} (ChangeLog)", commits, sizes, sizes_at, texts)


def _entries(text: str, known: Collection[str]) -> Iterator[tuple[str, ...]]:
    """The files of each entry that are known; entries without any are left out."""
    files: set[str] = set()
    for line in text.splitlines():
        if _ENTRY.match(line):
            if files:
                yield tuple(sorted(files))
            files = set()
        elif found := _FILES.match(line):
            names = (name.strip() for name in found[1].split(","))
            files.update(name for name in names if name in known)
    if files:
        yield tuple(sorted(files))
