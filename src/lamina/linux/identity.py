"""What tells a file from what it was before; nothing dear is imported here."""

from __future__ import annotations

import os

Identity = tuple[int, ...]  # size, mtime (ns), inode, ctime (ns), mode


def identity(status: os.stat_result) -> Identity:
    """What must be unchanged for a file to be taken as unchanged without reading it."""
    return (
        status.st_size,
        status.st_mtime_ns,
        status.st_ino,
        status.st_ctime_ns,
        status.st_mode,
    )
