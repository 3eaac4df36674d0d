"""A container as words of `bwrap`, for machines on which no OCI runtime works.

The walls are those of `runtimespec`; https://github.com/containers/bubblewrap, version 0.8.
Limits of each process are for the caller to set before.
"""

from __future__ import annotations

from collections.abc import Sequence

from lamina.core.container import HOST, Container, Tmpfs
from lamina.formats.runtimespec import INIT, Surroundings, init_words


def options(
    container: Container,
    around: Surroundings,
    *,
    filter_: int,
    hidden_files: Sequence[str] = (),
    hidden_folders: Sequence[str] = (),
) -> list[str]:
    """The options, which hold the environment and so are not for a command line that all can see.

    `filter_` is the descriptor of the compiled system call filter. What is hidden must be there.
    """
    words = ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    if around.identity.rootless:
        words += ["--unshare-user"]
    if container.network != HOST and not around.network:
        words += ["--unshare-net"]
    words += ["--die-with-parent", "--as-pid-1", "--new-session", "--cap-drop", "ALL"]
    words += ["--hostname", container.hostname, "--seccomp", str(filter_)]
    words += ["--ro-bind", around.root, "/", "--proc", "/proc", "--dev", "/dev"]
    words += ["--ro-bind", "/sys", "/sys"]
    for path in hidden_files:
        words += ["--ro-bind", "/dev/null", path]
    for path in hidden_folders:
        words += ["--tmpfs", path, "--remount-ro", path]
    for each in (Tmpfs("/dev/shm", container.shm_size), *container.tmpfs):
        size = [] if each.size is None else ["--size", str(each.size)]
        words += ["--perms", f"{each.mode:o}", *size, "--tmpfs", each.target]
    if around.init:
        words += ["--ro-bind", around.init, INIT]
    for bind in container.binds:
        words += ["--ro-bind" if bind.read_only else "--bind", bind.source, bind.target]
    for device in container.devices:
        words += ["--dev-bind", device.source, device.target]
    words += ["--clearenv"]
    for name, value in container.environment:
        words += ["--setenv", name, value]
    return [*words, "--chdir", container.folder]


def command(container: Container, around: Surroundings) -> list[str]:
    """What stands after the options: the program, behind its init."""
    return [*init_words(around.init), *container.arguments]
