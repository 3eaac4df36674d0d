"""Takes away what a container leaves where nothing else would: its control group and its folder.

    lamina ---- pipe ----> janitor
      |
      `- crun, runc or bwrap, process 1 of a process id namespace; dies with lamina (PDEATHSIG)
           `- the container

Processes and mounts go with their namespaces, whatever kills lamina. The janitor is started before
there is anything to remove, lives in the machine's own namespaces, and reads the pipe until lamina
has let go of it: of its own accord, and then lamina waits for it, or by `kill -9`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

from lamina.linux.cgroups import Group
from lamina.node import running


class Janitor:
    """The caller's end."""

    def __init__(self, folder: Path, groups: Sequence[Path]) -> None:
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


def clean(folder: Path, groups: Sequence[Path]) -> None:
    """Remove a container's control group, with what is still in it, and its folder."""
    Group(tuple(path for path in groups if path.exists())).remove()
    running.remove(folder)


def _wait_and_clean(reader: int, folder: Path, groups: Sequence[Path]) -> None:
    code = 1
    try:
        # Neither the terminal's signals nor its end are meant for it.
        os.setsid()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
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
