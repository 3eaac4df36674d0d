"""A container as words of `bwrap`, for machines on which no OCI runtime works.

The walls are those of `runtimespec`; https://github.com/containers/bubblewrap, version 0.8.
Limits of each process are for the caller to set before.
"""

from __future__ import annotations

from collections.abc import Sequence

from lamina.core.container import HOST, Container, Tmpfs
from lamina.core.places import INIT
from lamina.formats.runtimespec import Surroundings, init_words, shown


def options(
    container: Container,
    around: Surroundings,
    *,
    filter_: int,
    hidden_files: Sequence[str] = (),
    hidden_folders: Sequence[str] = (),
    closed: Sequence[str] = (),
) -> list[str]:
    """The options, which hold the environment and so are not for a command line that all can see.

    `filter_` is the descriptor of the compiled system call filter. What is hidden or closed
    to writing must be there.
    """
    words = ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    if around.identity.rootless:
        words += ["--unshare-user", "--uid", str(around.identity.inside)]
        words += ["--gid", str(around.identity.inside_group)]
    if container.network != HOST and not around.network:
        words += ["--unshare-net"]
    words += ["--die-with-parent", "--as-pid-1", "--new-session", "--cap-drop", "ALL"]
    words += ["--hostname", container.hostname, "--seccomp", str(filter_)]
    words += ["--bind" if around.writable else "--ro-bind", around.root, "/"]
    words += ["--proc", "/proc", "--dev", "/dev"]
    words += ["--ro-bind", "/sys", "/sys"]
    for path in closed:
        words += ["--ro-bind", path, path]
    for path in hidden_files:
        words += ["--ro-bind", "/dev/null", path]
    for path in hidden_folders:
        words += ["--tmpfs", path, "--remount-ro", path]
    words += _tmpfs(Tmpfs("/dev/shm", container.shm_size))
    if around.init:
        words += ["--ro-bind", around.init, INIT]
    for each in shown(container):
        if isinstance(each, Tmpfs):
            words += _tmpfs(each)
        else:
            words += ["--ro-bind" if each.read_only else "--bind", each.source, each.target]
    for device in container.devices:
        words += ["--dev-bind", device.source, device.target]
    words += ["--clearenv"]
    for name, value in container.environment:
        words += ["--setenv", name, value]
    return [*words, "--chdir", container.folder]


def _tmpfs(each: Tmpfs) -> list[str]:
    size = [] if each.size is None else ["--size", str(each.size)]
    return ["--perms", f"{each.mode:o}", *size, "--tmpfs", each.target]


def command(container: Container, around: Surroundings) -> list[str]:
    """What stands after the options: the program, behind its init."""
    return [*init_words(around.init), *container.arguments]
