"""What `lamina exec` tells of its own steps, for who shows how long each took.

The variable LAMINA_REPORT names a file. It becomes one JSON object: when each step ended, in
seconds since the epoch. `begin` is the start of this process, `pulled` when all layers were here,
`mounted` when they were one tree, `started` just before the program; `out of memory` where the
kernel ended the program for that. It is written at once or not at all, and a program runs without.
Nothing dear is imported here.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, MutableMapping

from lamina.core import plainjson

VARIABLE = "LAMINA_REPORT"

_imported = time.time()


class Report:
    """The steps so far, and the file that they go to."""

    def __init__(self, path: str, warn: Callable[[str], None]) -> None:
        self._times = {"begin": begin()}
        self._path, self._warn = path, warn
        self._folder: int | None = None
        try:
            # Once the root is another one, the path may lead nowhere.
            folder = os.path.dirname(path) or "."  # noqa: PTH120 - pathlib is dear
            self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            self._fail(error)

    def told(self, step: str) -> None:
        """Note that a step has ended now."""
        self._times[step] = time.time()

    def write(self) -> None:
        """Let readers see the steps so far; a warning where that cannot be."""
        if self._folder is None:
            return
        name = os.path.basename(self._path)  # noqa: PTH119
        temporary = f".{name}.{os.getpid()}"
        data = plainjson.encode(self._times).encode() + b"\n"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(temporary, flags, 0o644, dir_fd=self._folder)
            try:
                os.write(descriptor, data)
            finally:
                os.close(descriptor)
            os.rename(temporary, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=self._folder)
            self._fail(error)

    def mounted(self) -> None:
        """All layers are one tree now."""
        self.told("mounted")

    def ready(self) -> None:
        """The program starts now."""
        self.told("started")
        self.write()

    def out_of_memory(self) -> None:
        """The kernel has ended the program, as there was no more memory for it."""
        self.told("out of memory")
        self.write()

    def _fail(self, error: OSError) -> None:
        self._warn(f"cannot tell times in `{self._path}`: {error.strerror}")


def wanted(environment: MutableMapping[str, str], warn: Callable[[str], None]) -> Report | None:
    """The report that is asked for, if one is; the program does not see that it is."""
    path = environment.pop(VARIABLE, "")
    return Report(path, warn) if path else None


def begin() -> float:
    """When this process started, in seconds since the epoch; proc_pid_stat(5)."""
    try:
        # The second field is a name in parentheses, with any letters in it.
        with open("/proc/self/stat", "rb") as file:  # noqa: PTH123
            fields = file.read().rpartition(b")")[2].split()
        # The kernel counts in hundredths, downwards: the middle is as often too early as too late.
        since_boot = (int(fields[19]) + 0.5) / os.sysconf("SC_CLK_TCK")
        return time.time() - max(time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot, 0.0)
    except (OSError, ValueError, IndexError):
        return _imported
