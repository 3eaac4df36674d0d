"""What a process has started; nothing dear is imported here."""

from __future__ import annotations

import contextlib
import os


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for each in found:
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{each}/task"):  # noqa: PTH208 - pathlib is dear
                with open(f"/proc/{each}/task/{task}/children") as file:  # noqa: PTH123
                    found += map(int, file.read().split())
    return found
