"""Records of the containers that run, and what is left of those that were killed.

`<state>/containers/<id>/` holds the bundle, `lock`, which lamina keeps locked while the container
runs, and `record.json`. A folder whose lock is free is of a container that has ended: whoever meets
it removes it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lamina.core.errors import UserError
from lamina.linux import filesystem, groupusage
from lamina.linux.cgroups import Group
from lamina.node import records

_YOUNG = 60  # seconds in which a folder may wait for its record


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
    folder: Path  # of the bundle
    group: tuple[tuple[str, str], ...] = ()  # controller -> folder
    user: str = ""  # `uid:gid` of the program
    spare: int = 0  # processes that the limit lets the runtime and the init have

    @property
    def cgroup(self) -> Group:
        """Its control group."""
        by = tuple((controller, Path(folder)) for controller, folder in self.group)
        return Group(tuple(dict.fromkeys(folder for _, folder in by)), by)


def shelf() -> Path:
    """The folder of this user's containers."""
    return records.state() / "containers"


def claim(folder: Path) -> int:
    """Make a container's folder; the descriptor that keeps it locked."""
    folder.mkdir(mode=0o700, parents=True)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def write(record: Running) -> None:
    """Let others know of a container."""
    fields = json.dumps(dataclasses.asdict(record), default=str).encode()
    filesystem.write_atomic(record.folder / "record.json", fields, mode=0o600)


def every() -> list[Running]:
    """The containers of this user that run, the oldest first; what others have left is removed."""
    found = [_read(folder) for folder in _folders() if not _ended(folder)]
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


def sweep() -> None:
    """Remove what is left of containers whose lamina was killed together with its janitor."""
    for folder in _folders():
        _ended(folder)


def _folders() -> Iterator[Path]:
    with contextlib.suppress(FileNotFoundError), os.scandir(shelf()) as entries:
        for entry in entries:
            yield Path(entry.path)


def _ended(folder: Path) -> bool:
    """Whether nobody keeps a container's folder any more; it is removed then."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return not _is_young(folder) and _clear(folder)
    try:
        if not filesystem.try_lock(descriptor):
            return False
        if not (folder / "record.json").exists() and _is_young(folder):
            return False
        return _clear(folder)
    finally:
        os.close(descriptor)


def _is_young(folder: Path) -> bool:
    try:
        return time.time() - folder.stat().st_mtime < _YOUNG
    except FileNotFoundError:
        return False


def _clear(folder: Path) -> bool:
    record = _read(folder)
    if record is not None:
        record.cgroup.remove()
    remove(folder)
    return True


def remove(folder: Path) -> None:
    """Remove a container's folder: nothing is mounted in it where this process looks."""
    for parent, folders, files in os.walk(folder, topdown=False):
        for name in files:
            Path(parent, name).unlink(missing_ok=True)
        for name in folders:
            path = Path(parent, name)
            with contextlib.suppress(FileNotFoundError):
                path.unlink() if path.is_symlink() else path.rmdir()
    with contextlib.suppress(FileNotFoundError):
        folder.rmdir()


def _read(folder: Path) -> Running | None:
    """A record; None where there is none yet, or a damaged one."""
    try:
        fields = json.loads((folder / "record.json").read_bytes())
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


def names(group: Group) -> tuple[tuple[str, str], ...]:
    """A group as a record has it."""
    return tuple((controller, str(folder)) for controller, folder in group.by)


def usage(record: Running) -> groupusage.Usage:
    """What a container uses now; without a control group, what the kernel says of its processes.

    Neither the limit of processes nor their number has the runtime and the init in it.
    """
    found = groupusage.usage(record.cgroup)
    limit = None if found.pids_limit is None else found.pids_limit - record.spare
    memory = _resident(record.pid) if found.memory is None else found.memory
    return dataclasses.replace(found, memory=memory, pids=_tasks(record), pids_limit=limit)


def _tasks(record: Running) -> int:
    """Processes and threads of the container, and of what was started in it by `lamina enter`."""
    tasks = 0
    for each in {*tree(record.pid), *record.cgroup.processes()} - {record.pid}:
        with contextlib.suppress(OSError):
            tasks += len(os.listdir(f"/proc/{each}/task"))  # noqa: PTH208 - names alone
    return max(1, tasks - 1)


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for each in found:
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{each}/task"):  # noqa: PTH208 - names alone
                with open(f"/proc/{each}/task/{task}/children") as file:  # noqa: PTH123
                    found += map(int, file.read().split())
    return found


def _resident(pid: int) -> int:
    """The memory of a process and all below it, in bytes; what they share counts each time."""
    pages = 0
    for each in tree(pid):
        with contextlib.suppress(OSError):
            pages += int(Path(f"/proc/{each}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
