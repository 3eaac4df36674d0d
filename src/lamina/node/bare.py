"""Programs that run without a container: found by the leases that they hold.

A program keeps the lease of its package locked (`store/leases.py`), and /proc/locks tells who has
locked which file. So nothing needs to be written down, and nothing stays of one that has ended.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from lamina.core.classes import dataclass
from lamina.store import leases

_LOCKS = Path("/proc/locks")


@dataclass(frozen=True, slots=True)
class Program:
    """A program that took lamina's place."""

    pid: int
    title: str  # `<name>-<version>` of its package, empty where it may not be looked at
    package: str  # hash of its manifest
    command: tuple[str, ...]
    started: float  # seconds since 1970
    memory: int  # bytes that are resident


def every(store: Path) -> list[Program]:
    """The programs of a store's packages that run now, with what `/proc` tells of them."""
    names = dict(_leases(store))
    found = {}
    for pid, file in _locks():
        if file in names and pid not in found:
            program = _program(pid, names[file])
            if program is not None:
                found[pid] = program
    return list(found.values())


def _leases(store: Path) -> Iterator[tuple[tuple[int, int], str]]:
    """Device and inode of each lease of a program's, and the package it is on."""
    with contextlib.suppress(FileNotFoundError), os.scandir(store / leases.FOLDER) as entries:
        for entry in entries:
            if len(entry.name) == _HASH:  # those of mounts and pulls have other names
                status = entry.stat()
                yield (status.st_dev, status.st_ino), entry.name


_HASH = 64


def _locks() -> Iterator[tuple[int, tuple[int, int]]]:
    """Who holds a lock by flock(2), and on which file; see proc_locks(5)."""
    try:
        lines = _LOCKS.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        fields = line.split()
        if fields[1:2] == ["FLOCK"] and len(fields) > 5:
            major, minor, inode = fields[5].split(":")
            yield int(fields[4]), (os.makedev(int(major, 16), int(minor, 16)), int(inode))


def _program(pid: int, package: str) -> Program | None:
    """What is known of a process; None of one that has ended, or is lamina still."""
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        started = _started(pid)
    except (OSError, IndexError):
        return None
    root = [each for each in variables if each.startswith(b"LAMINA_PACKAGE=")]
    if not root:
        return None
    title = os.fsdecode(root[0].rpartition(b"/")[2])
    command = tuple(os.fsdecode(word) for word in words)
    return Program(pid, title, package, command, started, pages * os.sysconf("SC_PAGE_SIZE"))


def _started(pid: int) -> float:
    """When a process began; field 22 of its stat, in ticks since the machine started."""
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith("btime "):
            return int(line.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")
    return 0.0
