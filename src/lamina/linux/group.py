"""A control group that is there: who is in it, and its end; nothing dear is imported here.

`lamina.linux.cgroups` finds out where one can be made, and makes it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Sequence

from lamina.linux.signals import SIGKILL

_OUT_OF_MEMORY = ("memory.events", "memory.oom_control")  # of version 2, of version 1


class Group:
    """The folders of one group, by controller; several share a folder where they share a tree."""

    __slots__ = ("by", "folders", "missing", "settings")

    def __init__(
        self,
        by: Sequence[tuple[str, str]] = (),
        missing: Sequence[str] = (),
        settings: Sequence[tuple[str, str]] = (),
    ) -> None:
        """What `cgroups.create` has made."""
        self.by = tuple(by)  # controller -> folder, of those that limits can use
        self.folders = tuple(dict.fromkeys(folder for _, folder in self.by))
        self.missing = tuple(missing)  # why a limit does not hold, one sentence each
        self.settings = tuple(settings)  # file -> text: the limits that hold

    def folder(self, controller: str) -> str | None:
        """The folder in which a controller is."""
        return dict(self.by).get(controller)

    def processes(self) -> set[int]:
        """All that is in it, and in the groups that the program or its runtime made below."""
        found: set[int] = set()
        for folder in (each for top in self.folders for each in (top, *groups_below(top))):
            with contextlib.suppress(OSError, ValueError):
                found.update(map(int, read(f"{folder}/cgroup.procs").split()))
        return found - {0}

    def join(self) -> None:
        """Move this process into it; raises OSError."""
        for folder in self.folders:
            write(f"{folder}/cgroup.procs", "0")

    def out_of_memory(self) -> int:
        """How many of its processes the kernel has killed, as there was no more memory for it."""
        folder = self.folder("memory")
        for file in _OUT_OF_MEMORY if folder else ():
            with contextlib.suppress(OSError, ValueError):
                for line in read(f"{folder}/{file}").splitlines():
                    word, _, number = line.partition(" ")
                    if word == "oom_kill":
                        return int(number)
        return 0

    def remove(self) -> bool:
        """Kill what is left in it, and remove it; whether it is gone."""
        for _ in range(400):
            for pid in self.processes() - {os.getpid()}:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, SIGKILL)
            gone = [_gone(folder) for folder in self.folders]
            if all(gone):
                return True
            time.sleep(0.005)
        return False


def _gone(folder: str) -> bool:
    """Whether a group is removed, with those that the program made in it."""
    try:
        os.rmdir(folder)  # noqa: PTH106 - pathlib is dear
    except FileNotFoundError:
        return True
    except OSError:
        for below in groups_below(folder):
            with contextlib.suppress(OSError):
                os.rmdir(below)  # noqa: PTH106
        return False
    return True


def groups_below(folder: str) -> list[str]:
    """The groups below one, the lowest first."""
    return [at for at, _, _ in os.walk(folder, topdown=False)][:-1]


def make(by: Sequence[tuple[str, str]], settings: Iterable[tuple[str, str]]) -> Group:
    """Make a group as it was once made; raises OSError, and then it is not there."""
    group = Group(by, settings=tuple(settings))
    try:
        for folder in group.folders:
            os.mkdir(folder)  # noqa: PTH102
        for file, text in group.settings:
            write(file, text)
    except OSError:
        group.remove()
        raise
    return group


def read(file: str) -> str:
    """What a file of the kernel says; raises OSError."""
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(descriptor, 1 << 16):
            parts.append(part)
        return b"".join(parts).decode()
    finally:
        os.close(descriptor)


def write(file: str, text: str) -> None:
    """Tell the kernel something; raises OSError."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


# Bytes: a process of some 40 MiB more is a hundredth of it. Where there is no limit, version 1 says
# the largest number of pages there can be.
_ENOUGH = 4 << 30
_TOP = "/sys/fs/cgroup"
_LIMITS = (f"{_TOP}%s/memory.max", f"{_TOP}/unified%s/memory.max")


def memory_is_scarce(own: str = "/proc/self/cgroup") -> bool:
    """Whether a limit of memory holds that another small process beside this one could break.

    As far as the usual places tell.
    """
    try:
        lines = read(own).splitlines()
    except OSError:
        return False
    for line in lines:
        _, controllers, path = line.split(":", 2)
        places: tuple[str, ...] = _LIMITS if not controllers else ()
        if "memory" in controllers.split(","):
            places = (f"{_TOP}/memory%s/memory.limit_in_bytes",)
        names = [name for name in path.split("/") if name not in ("", "..")]
        above = ["".join(f"/{name}" for name in names[:count]) for count in range(len(names) + 1)]
        if any(_is_scarce(place % folder) for place in places for folder in above):
            return True
    return False


def _is_scarce(file: str) -> bool:
    try:
        return int(read(file)) < _ENOUGH
    except (OSError, ValueError):  # it is not there, or says `max`
        return False
