"""Starts the runtime of a container, and waits for it: signals go in, the exit code comes out.

The runtime is process 1 of a process id namespace and dies with lamina, whatever ends that; then
the kernel kills all that is in the namespace, the container included.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Callable, Sequence

from lamina.core.errors import HostError
from lamina.core.places import INIT
from lamina.linux import descendants, namespaces, syscalls
from lamina.linux.environment import reset_signals
from lamina.linux.group import Group
from lamina.linux.signals import (
    SIG_BLOCK,
    SIG_DFL,
    SIG_SETMASK,
    SIGCHLD,
    SIGHUP,
    SIGINT,
    SIGKILL,
    SIGQUIT,
    SIGTERM,
    SIGUSR1,
    SIGUSR2,
    SIGWINCH,
    pthread_sigmask,
    signal,
    sigtimedwait,
)

TYPE_CHECKING = False  # `typing` is dear
if TYPE_CHECKING:
    from typing import NoReturn

_FORWARDED = (SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2)
_ENDING = (SIGTERM, SIGHUP)
WATCHED = frozenset({*_FORWARDED, SIGCHLD, SIGWINCH})
_CGROUPS = "/sys/fs/cgroup"


class Start:
    """What is started, and where."""

    __slots__ = ("argv", "cgroups", "descriptors", "group", "network", "rlimits", "terminal")

    def __init__(
        self,
        argv: Sequence[str],
        group: Group,
        cgroups: str = "none",
        *,
        terminal: bool = False,
        network: int | None = None,
        descriptors: Sequence[int] = (),
        rlimits: Sequence[tuple[int, tuple[int, int]]] = (),
    ) -> None:
        """The words of a program, and the group that it is to be in."""
        self.argv = argv
        self.group = group
        self.cgroups = cgroups  # which the program sees: `none`, `devices` or `all`
        self.terminal = terminal
        self.network = network  # a network namespace to be in
        self.descriptors = descriptors  # become 3, 4, 5, ...
        self.rlimits = rlimits


def start(wanted: Start) -> int:
    """Start a program as process 1 of a new process id namespace; its id outside.

    The caller is in a mount namespace of its own, may mount there, and starts nothing else after
    that. Raises HostError where the program can not be started.
    """
    complaints, complain = os.pipe()
    life, living = os.pipe()  # closes when this process ends
    mask = pthread_sigmask(SIG_BLOCK, WATCHED)
    try:
        syscalls.unshare(syscalls.CLONE_NEWPID)
        pid = os.fork()
    except OSError as error:
        pthread_sigmask(SIG_SETMASK, mask)
        raise HostError(f"may not make a process id namespace: {error.strerror}") from error
    if pid == 0:
        os.close(living)
        os.close(complaints)
        _become(wanted, life, complain)
    os.close(life)
    os.close(complain)
    with os.fdopen(complaints, "rb") as file:
        words = file.read().decode(errors="replace")
    if words:
        os.waitpid(pid, 0)
        pthread_sigmask(SIG_SETMASK, mask)
        raise HostError(f"can not start `{wanted.argv[0]}`: {words}")
    return pid


def _become(wanted: Start, life: int, complain: int) -> NoReturn:
    try:
        syscalls.die_with_parent(SIGKILL)
        if select.select([life], [], [], 0)[0]:  # it has ended before it could be said
            os._exit(1)
        if not wanted.terminal:
            os.setpgid(0, 0)  # what the terminal sends comes once, by way of lamina
        wanted.group.join()
        if wanted.network is not None:
            syscalls.setns(wanted.network, syscalls.CLONE_NEWNET)
        namespaces.own_mounts()
        syscalls.mount("proc", "/proc", "proc", _PROC)
        _show_cgroups(wanted.cgroups)
        for number, limits in wanted.rlimits:
            _set_rlimit(number, limits)
        complain = _keep(wanted.descriptors, complain)
        pthread_sigmask(SIG_SETMASK, ())
        for number in _FORWARDED:
            signal(number, SIG_DFL)
        reset_signals()
        os.execv(wanted.argv[0], list(wanted.argv))
    except HostError as error:
        os.write(complain, error.message.encode())
    except OSError as error:
        about = f"{error.filename}: " if error.filename else ""
        os.write(complain, f"{about}{error.strerror}".encode())
    finally:
        os._exit(127)


_PROC = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC


def _show_cgroups(which: str) -> None:
    """Show the runtime no control groups, or those of devices alone: lamina has made the group.

    crun wants none where there are both versions. runc insists on keeping devices out itself; on
    a host of version 1 nothing else is left to it.
    """
    if which == "all" or not os.path.isdir(_CGROUPS):  # noqa: PTH112 - pathlib is dear
        return
    if which == "devices":
        from lamina.linux import mountinfo

        for place in sorted(mountinfo.mount_points(), reverse=True):
            if str(place.parent) == _CGROUPS and "devices" not in place.name:
                syscalls.umount(str(place), syscalls.MNT_DETACH)
        return
    with contextlib.suppress(OSError):  # in a user namespace it may only be covered
        syscalls.umount(_CGROUPS, syscalls.MNT_DETACH)
    syscalls.mount("tmpfs", _CGROUPS, "tmpfs", syscalls.MS_RDONLY)


def _set_rlimit(number: int, limits: tuple[int, int]) -> None:
    import resource

    resource.setrlimit(number, limits)


def _keep(descriptors: Sequence[int], complain: int) -> int:
    """Leave open standard streams, what was asked for from 3 on, and the pipe for complaints."""
    import fcntl

    last = 3 + len(descriptors)
    moved = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, last + 1) for each in descriptors]
    kept = fcntl.fcntl(complain, fcntl.F_DUPFD_CLOEXEC, last + 1)
    for number, descriptor in enumerate(moved, 3):
        os.dup2(descriptor, number)
    os.dup2(kept, last, inheritable=False)
    os.closerange(last + 1, os.sysconf("SC_OPEN_MAX"))
    return last


def wait(pid: int, stop_timeout: float, target: Target, *, terminal: bool = False) -> int:
    """Wait for the end of what `start` started, and forward signals meanwhile; its exit code.

    `target` finds who in the container gets them; with `terminal`, its terminal has the size of
    ours. After SIGTERM, or the end of the terminal, the container has `stop_timeout` seconds before
    it is killed. A signal's end is 128 and its number.
    """
    end: float | None = None
    is_sized = not terminal
    while True:
        left = _FOREVER if end is None else max(0.0, end - time.monotonic())
        come = sigtimedwait(WATCHED, left if is_sized else min(left, _GLANCE))
        number = 0 if come is None else come.si_signo
        if end is not None and time.monotonic() >= end:
            os.kill(pid, SIGKILL)
            end = time.monotonic() + _FOREVER
        if number in (0, SIGCHLD):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return _code(status)
        if terminal and (number == SIGWINCH or not is_sized):
            is_sized = _resize(target(pid))
        if number in _FORWARDED:
            inside = _found(pid, target)
            with contextlib.suppress(ProcessLookupError):
                os.kill(inside or pid, number if inside else SIGKILL)
            if number in _ENDING and end is None:
                end = time.monotonic() + stop_timeout


Target = Callable[[int], int | None]
_FOREVER = 1e6  # seconds
_GLANCE = 0.02  # seconds


def _resize(inside: int | None) -> bool:
    """Give the terminal that a process has as its input the size of ours: crun does not."""
    if inside is None:
        return False
    import termios

    try:
        theirs = os.open(f"/proc/{inside}/fd/0", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if os.path.sameopenfile(theirs, 0):  # it has not come to a terminal of its own yet
            return False
        termios.tcsetwinsize(theirs, termios.tcgetwinsize(0))
    except termios.error:
        return False
    finally:
        os.close(theirs)
    return True


def _code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


_PATIENCE = 5.0  # seconds in which a container should have started its program


def _found(pid: int, target: Target) -> int | None:
    """Who gets signals, once there is somebody; None where the runtime does not come to it."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        found = target(pid)
        if found is not None:
            return found
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return pid
        time.sleep(0.002)
    return None


def init_of(command: Sequence[str]) -> Target:
    """Finds process 1 of a container below its runtime: by what it was started with."""
    wanted = "\0".join(command).encode(errors="surrogateescape")

    def find(pid: int) -> int | None:
        for each in descendants.tree(pid)[1:]:
            with contextlib.suppress(OSError), open(f"/proc/{each}/cmdline", "rb") as file:  # noqa: PTH123
                if file.read().startswith(wanted):
                    return each
        return None

    return find


def first_words(command: Sequence[str]) -> Sequence[str]:
    """By which words process 1 is known: those of the init, else the program's own."""
    return command[:2] if command[0] == INIT else command[:1]
