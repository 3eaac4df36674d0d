"""What a control group uses of the machine, as version 1 or 2 tells it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from lamina.core.classes import dataclass
from lamina.linux.group import Group


@dataclass(frozen=True, slots=True)
class Usage:
    """What a group uses now; None: not known here."""

    memory: int | None = None  # bytes
    memory_limit: int | None = None
    memory_peak: int | None = None
    cpu: float | None = None  # seconds since it was made
    pids: int | None = None
    pids_limit: int | None = None
    out_of_memory: int = 0  # processes that were killed for it


_NO_LIMIT = 1 << 60  # version 1 says the largest number of pages there can be


def usage(group: Group) -> Usage:
    """What a group uses."""
    memory, pids, cpu = (
        Path(at) if (at := group.folder(name)) else None for name in ("memory", "pids", "cpuacct")
    )
    if memory is None:
        found = Usage()
    else:
        found = Usage(
            memory=_number(memory, "memory.current", "memory.usage_in_bytes"),
            memory_limit=_bounded(_number(memory, "memory.max", "memory.limit_in_bytes")),
            memory_peak=_number(memory, "memory.peak", "memory.max_usage_in_bytes"),
            out_of_memory=group.out_of_memory(),
        )
    return Usage(
        memory=found.memory,
        memory_limit=found.memory_limit,
        memory_peak=found.memory_peak,
        out_of_memory=found.out_of_memory,
        cpu=_cpu(cpu) if cpu is not None else None,
        pids=_number(pids, "pids.current") if pids is not None else None,
        pids_limit=_number(pids, "pids.max") if pids is not None else None,
    )


def _bounded(value: int | None) -> int | None:
    return None if value is None or value >= _NO_LIMIT else value


def _cpu(folder: Path) -> float | None:
    micro = _named(folder, ("cpu.stat",), "usage_usec")
    if micro is not None:
        return micro / 1e6
    nano = _number(folder, "cpuacct.usage")
    return None if nano is None else nano / 1e9


def _number(folder: Path, *files: str) -> int | None:
    """The number in the first of some files that is there; None for `max`, and for none."""
    for file in files:
        with contextlib.suppress(OSError, ValueError):
            return int((folder / file).read_text())
    return None


def _named(folder: Path, files: Sequence[str], key: str) -> int | None:
    """A number behind a word in the first of some files that has it."""
    for file in files:
        with contextlib.suppress(OSError, ValueError):
            for line in (folder / file).read_text().splitlines():
                if line.partition(" ")[0] == key:
                    return int(line.partition(" ")[2])
    return None
