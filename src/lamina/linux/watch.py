"""Programs that outlive the lamina that started them, named so that a reused pid is no mistake."""

from __future__ import annotations

import os
import select
from pathlib import Path
from typing import NamedTuple


class Started(NamedTuple):
    """A process: its pid, and when it started (clock ticks since boot), which no other shares."""

    pid: int
    ticks: int


def started(pid: int) -> Started | None:
    """The process of a pid, or None when it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may hold anything
    return None if fields[0] == "Z" else Started(pid, int(fields[19]))


def wait_for_end(process: Started, seconds: float) -> bool:
    """Wait until a process has ended; False if it has not within the time."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        if started(process.pid) != process:
            return True
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(seconds * 1000))
    finally:
        os.close(descriptor)
