"""Takes away what a container leaves where nothing else would: its control group and its folder.

    lamina ---- pipe ----> janitor
      |
      `- crun, runc or bwrap, process 1 of a process id namespace; dies with lamina (PDEATHSIG)
           `- the container

Processes and mounts go with their namespaces, whatever kills lamina. The janitor is started before
there is anything to remove, lives in the machine's own namespaces, and reads the pipe until lamina
has let go of it: of its own accord, and then lamina waits for it, or by `kill -9`.

Nothing dear is imported here.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

from lamina.linux.group import Group
from lamina.linux.signals import (
    SIG_BLOCK,
    SIGHUP,
    SIGINT,
    SIGTERM,
    pthread_sigmask,
)


class Janitor:
    """The caller's end."""

    def __init__(self, folder: str, groups: Sequence[str]) -> None:
        """Start it; `groups` are all folders that a control group may come to have."""
        self._folder = folder
        self._groups = groups
        reader, self._writer = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._writer)
            _wait_and_clean(reader, folder, groups)
        os.close(reader)

    def end(self) -> None:
        """Have all removed, and return when it is."""
        os.close(self._writer)
        _, status = os.waitpid(self._pid, 0)
        if status:  # somebody has killed it
            clean(self._folder, self._groups)


def clean(folder: str, groups: Sequence[str]) -> None:
    """Remove a container's control group, with what is still in it, and its folder."""
    Group([("", path) for path in groups if os.path.exists(path)]).remove()  # noqa: PTH110
    remove(folder)


def remove(folder: str) -> None:
    """Remove a container's folder: nothing is mounted in it where this process looks."""
    for parent, folders, files in os.walk(folder, topdown=False):
        for name in files:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{parent}/{name}")  # noqa: PTH108 - pathlib is dear
        for name in folders:
            path = f"{parent}/{name}"
            with contextlib.suppress(FileNotFoundError):
                _remove_entry(path)
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(folder)  # noqa: PTH106


def _remove_entry(path: str) -> None:
    """Remove what is listed as a folder: an empty one, or a link to one."""
    if os.path.islink(path):  # noqa: PTH114
        os.unlink(path)  # noqa: PTH108
    else:
        os.rmdir(path)  # noqa: PTH106


def _wait_and_clean(reader: int, folder: str, groups: Sequence[str]) -> None:
    code = 1
    try:
        # Neither the terminal's signals nor its end are meant for it.
        os.setsid()
        pthread_sigmask(SIG_BLOCK, {SIGTERM, SIGINT, SIGHUP})
        os.dup2(reader, 3)
        os.closerange(4, os.sysconf("SC_OPEN_MAX"))
        null = os.open("/dev/null", os.O_RDWR)
        for standard in range(3):
            os.dup2(null, standard)
        os.chdir("/")
        os.read(3, 1)
        clean(folder, groups)
        code = 0
    finally:
        os._exit(code)
