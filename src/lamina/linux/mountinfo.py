"""The table of mounts that the calling process sees: /proc/self/mountinfo, see proc(5)."""

from __future__ import annotations

import re
from pathlib import Path

_ESCAPED = re.compile(rb"\\([0-7]{3})")


def mount_points() -> set[Path]:
    """Every path at which something is mounted."""
    return parse(Path("/proc/self/mountinfo").read_bytes())


def parse(table: bytes) -> set[Path]:
    """The mount points in the text of the table, blanks and backslashes put back."""
    fields = (line.split(b" ")[4] for line in table.splitlines())
    return {Path(_ESCAPED.sub(_letter, field).decode(errors="surrogateescape")) for field in fields}


def _letter(match: re.Match[bytes]) -> bytes:
    return bytes([int(match[1], 8)])
