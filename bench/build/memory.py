"""How much memory a command and what it starts take at most."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

_SECONDS = 0.02  # between two looks


@dataclass(frozen=True, slots=True)
class Peaks:
    """In bytes. `own` is of the tool's process alone, `all` of all processes at the same time."""

    own: int
    all: int


@dataclass(slots=True)
class Watched:
    """What was seen so far."""

    own: int = 0
    all: int = 0
    alone: bool = True  # nothing was seen that the process started
    ended: threading.Event = field(default_factory=threading.Event)

    def peaks(self, largest: int) -> Peaks:
        """`largest` is the most that any process had, known exactly, but not of which one."""
        own = max(self.own, largest) if self.alone else self.own
        return Peaks(own, max(self.all, largest))


@contextmanager
def watch(process: int, resident: Sequence[int]) -> Iterator[Watched]:
    """Look at a process and its descendants, and at resident ones, as long as the block runs.

    What stays between commands is the tool itself; the command that it serves only speaks to it.
    """
    watched = Watched(alone=not resident)
    arguments = (watched, process, tuple(resident))
    looking = threading.Thread(target=_look, args=arguments, daemon=True)
    looking.start()
    try:
        yield watched
    finally:
        watched.ended.set()
        looking.join()


def _look(watched: Watched, process: int, resident: tuple[int, ...]) -> None:
    while not watched.ended.wait(_SECONDS):
        own = sum(_memory(each, "VmRSS") for each in resident) or _memory(process, "VmHWM")
        watched.own = max(watched.own, own)
        started = _started((process, *resident))
        watched.alone = watched.alone and not started
        every = (process, *resident, *started)
        watched.all = max(watched.all, sum(_memory(each, "VmRSS") for each in every))


def _memory(process: int, name: str) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            key, _, value = line.partition(":")
            if key == name:
                return int(value.split()[0]) << 10
    return 0


def _started(roots: Sequence[int]) -> set[int]:
    """The programs below some processes.

    Between vfork() and exec() a child has all memory of its parent, which is not to count twice;
    then it has its command line too.
    """
    found: set[int] = set()
    seen = set(roots)
    waiting = list(roots)
    while waiting:
        parent = waiting.pop()
        words = _command_line(parent)
        children = _children(parent) - seen
        found |= {child for child in children if _command_line(child) != words}
        waiting += children
        seen |= children
    return found


def _command_line(process: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes()
    return b""


def _children(process: int) -> set[int]:
    """Those of all its threads; none of a process that has ended meanwhile."""
    found: set[int] = set()
    with suppress(OSError):
        for thread in Path(f"/proc/{process}/task").iterdir():
            with suppress(OSError):
                found.update(map(int, (thread / "children").read_text().split()))
    return found
