"""Records of the containers that run; where they lie, and for how long, `cell` knows."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from lamina.core.classes import dataclass, replace
from lamina.core.errors import UserError
from lamina.core.places import RECORD
from lamina.linux import descendants, groupusage
from lamina.linux.group import Group
from lamina.node import cell


@dataclass(frozen=True, slots=True)
class Running:
    """A container that runs."""

    id: str
    title: str  # `<name>-<version>` of the package
    package: str  # the digest of its manifest
    label: str
    command: tuple[str, ...]
    runtime: str
    pid: int  # of the runtime, all else is below it
    supervisor: int  # lamina's own process
    started: float  # seconds since 1970
    rootless: bool
    folder: str  # of the bundle
    group: tuple[tuple[str, str], ...] = ()  # controller -> folder
    user: str = ""  # `uid:gid` of the program
    spare: int = 0  # processes that the limit lets the runtime and the init have

    @property
    def cgroup(self) -> Group:
        """Its control group."""
        return Group(self.group)


def every() -> list[Running]:
    """The containers of this user that run, the oldest first; what others have left is removed."""
    found = [read(folder) for folder in cell.folders() if not cell.ended(folder)]
    return sorted(filter(None, found), key=lambda each: (each.started, each.id))


def find(word: str) -> Running:
    """The container with that id, or the beginning of it, or that title; raises UserError."""
    known = every()
    found = [each for each in known if each.id.startswith(word) or each.title == word]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(f"`{each.id}`" for each in found)
        raise UserError(f"`{word}` means several containers", hint=f"one of {names}")
    raise UserError(f"no container `{word}` runs", hint="`lamina ps` lists those of this user")


def read(folder: str) -> Running | None:
    """A record; None where there is none yet, or a damaged one."""
    try:
        fields = json.loads(Path(folder, RECORD).read_bytes())
        return Running(
            id=str(fields["id"]),
            title=str(fields["title"]),
            package=str(fields["package"]),
            label=str(fields["label"]),
            command=tuple(map(str, fields["command"])),
            runtime=str(fields["runtime"]),
            pid=int(fields["pid"]),
            supervisor=int(fields["supervisor"]),
            started=float(fields["started"]),
            rootless=bool(fields["rootless"]),
            folder=folder,
            group=tuple((str(name), str(path)) for name, path in fields["group"]),
            user=str(fields["user"]),
            spare=int(fields["spare"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError, OSError):
        return None


def usage(record: Running) -> groupusage.Usage:
    """What a container uses now; without a control group, what the kernel says of its processes.

    Neither the limit of processes nor their number has the runtime and the init in it.
    """
    found = groupusage.usage(record.cgroup)
    limit = None if found.pids_limit is None else found.pids_limit - record.spare
    memory = _resident(record.pid) if found.memory is None else found.memory
    return replace(found, memory=memory, pids=_tasks(record), pids_limit=limit)


def _tasks(record: Running) -> int:
    """Processes and threads of the container, and of what was started in it by `lamina enter`."""
    tasks = 0
    for each in {*descendants.tree(record.pid), *record.cgroup.processes()} - {record.pid}:
        with contextlib.suppress(OSError):
            tasks += len(os.listdir(f"/proc/{each}/task"))  # noqa: PTH208 - names alone
    return max(1, tasks - 1)


def _resident(pid: int) -> int:
    """The memory of a process and all below it, in bytes; what they share counts each time."""
    pages = 0
    for each in descendants.tree(pid):
        with contextlib.suppress(OSError):
            pages += int(Path(f"/proc/{each}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
