"""What version a tool says it is, asked once per file on disk.

The answer is part of every action's digest, so it must not depend on where the tool lies; asking
costs a process, so answers are kept in a file, by the identity of the tool's own file.
"""

from __future__ import annotations

import json
from pathlib import Path

from lamina.linux import filesystem, process


class ToolVersions:
    """Answers of tools about themselves, kept in a JSON file between two runs."""

    def __init__(self, cache: Path, scratch: Path | None = None) -> None:
        """`scratch` is as for `filesystem.write_atomic`."""
        self._cache = cache
        self._scratch = scratch
        self._known: dict[str, str] | None = None

    def ask(self, tool: Path, *args: str, ok: tuple[int, ...] = (0,)) -> str:
        """What `tool args…` prints on stdout, without the white space around it."""
        return self._answer(tool, args, ok, "")

    def complaint(self, tool: Path, *args: str, ok: tuple[int, ...] = (0,)) -> str:
        """The same of both its outputs, for tools that explain themselves on stderr."""
        return self._answer(tool, args, ok, "and stderr")

    def _answer(self, tool: Path, args: tuple[str, ...], ok: tuple[int, ...], both: str) -> str:
        key = _key(tool, (*args, both) if both else args)
        known = self._load()
        if key not in known:
            done = process.run(tool, *args, ok=ok)
            words = done.stdout + done.stderr if both else done.stdout
            known[key] = words.decode(errors="replace").strip()
            data = json.dumps(known, indent=0).encode()
            filesystem.write_atomic(self._cache, data, scratch=self._scratch)
        return known[key]

    def first_line(self, tool: Path, *args: str, ok: tuple[int, ...] = (0,)) -> str:
        """The first line of what the tool prints: the version, by custom."""
        return self.ask(tool, *args, ok=ok).partition("\n")[0].strip()

    def _load(self) -> dict[str, str]:
        if self._known is None:
            try:
                self._known = dict(json.loads(self._cache.read_bytes()))
            except (FileNotFoundError, ValueError, TypeError):  # none yet, or a damaged one
                self._known = {}
        return self._known


def _key(tool: Path, args: tuple[str, ...]) -> str:
    found = tool.resolve()
    stat = found.stat()
    return " ".join((f"{found}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ino}", *args))
