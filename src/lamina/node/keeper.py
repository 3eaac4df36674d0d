"""The keeper: a small process that starts FUSE servers for a program and ends when they have.

    lamina (later the program)   own mount namespace, holds the mounts
      .. keeper                  orphan in a session of its own, outside that namespace
           `- squashfuse_ll      one per layer, PDEATHSIG: dies with the keeper

Nobody has to watch the program. The servers live outside its mount namespace, so when the last
process in there dies, the kernel takes the mounts down, each server reads ENODEV and ends, and
then the keeper ends. If the keeper is killed, its servers die, and their mounts answer ENOTCONN.
The program itself never gets a child that it did not start.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Sequence

from lamina.linux import syscalls
from lamina.linux.signals import (
    SIG_DFL,
    SIGCHLD,
    SIGHUP,
    SIGINT,
    SIGKILL,
    SIGTERM,
    signal,
)

TYPE_CHECKING = False  # `typing` is dear
if TYPE_CHECKING:
    import socket

_FIRST = 3  # a server finds its descriptors at 3, 4, 5, ...
_MOST_DESCRIPTORS = 253  # in one message, a limit of the kernel
_MESSAGE = 1 << 16


class Keeper:
    """The caller's end: it asks for servers, and lets go by closing (or by exec)."""

    def __init__(self) -> None:
        """Start the keeper; in the mount namespace that the servers shall live in."""
        import socket

        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._words = words = os.memfd_create("lamina-servers")
        _orphan(lambda: _keep(theirs, words))
        theirs.close()

    def serve(self, argv: Sequence[str], descriptors: Sequence[int]) -> None:
        """Start a server with descriptors 3, 4, 5, ...; its death shows in what it serves."""
        import socket

        message = "\0".join(argv).encode(errors="surrogateescape")
        socket.send_fds(self._channel, [message], list(descriptors))

    @property
    def words(self) -> str:
        """What the servers have printed so far."""
        return os.pread(self._words, _MESSAGE, 0).decode(errors="replace").strip()

    def close(self) -> None:
        """Ask for no more servers; those that run go on."""
        self._channel.close()
        os.close(self._words)


def ready(servers: Sequence[tuple[Sequence[str], int]]) -> int:
    """Start a keeper of these servers and no more, each with its one descriptor, from 3 on, as 3.

    They begin when a byte is written to the descriptor that comes back: a server ends at once
    where nothing is mounted that it could serve. What they print is lost; whether they serve shows
    in what they serve.
    """
    theirs, ours = os.pipe2(os.O_CLOEXEC)
    _orphan(lambda: _keep_these(servers, theirs))
    os.close(theirs)
    return ours


def _orphan(run: Callable[[], None]) -> None:
    """Fork twice, so that the keeper is nobody's child whom a program could wait for."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        os.setsid()
        if os.fork() == 0:
            run()
    finally:
        os._exit(0)


def _keep_these(servers: Sequence[tuple[Sequence[str], int]], begin: int) -> None:
    null = os.open("/dev/null", os.O_RDWR)
    _forget_the_caller([begin, *(device for _, device in servers)], null)
    if not os.read(begin, 1):
        return  # the caller has ended
    for argv, device in servers:
        _start([os.fsencode(word) for word in argv], [device])
        os.close(device)
    _wait_for_all()


def _keep(channel: socket.socket, words: int) -> None:
    import socket

    _forget_the_caller([channel.fileno()], words)
    while True:
        message, descriptors, _, _ = socket.recv_fds(
            channel, _MESSAGE, _MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
        )
        if not message:
            break
        _start(message.split(b"\0"), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
    channel.close()
    _wait_for_all()


def _forget_the_caller(kept: Sequence[int], words: int) -> None:
    """Let go of the caller's files: who reads its output must not wait for the keeper's end."""
    null = os.open("/dev/null", os.O_RDWR)
    for standard, descriptor in enumerate((null, words, words)):
        os.dup2(descriptor, standard)
    keep = sorted({*kept, 2})
    for low, high in zip(keep, [*keep[1:], os.sysconf("SC_OPEN_MAX")], strict=True):
        os.closerange(low + 1, high)
    for number in (SIGINT, SIGTERM, SIGHUP, SIGCHLD):
        signal(number, SIG_DFL)
    os.chdir("/")


def _start(argv: list[bytes], descriptors: list[int]) -> None:
    keeper = os.getpid()
    if os.fork():
        return
    try:
        syscalls.die_with_parent(SIGKILL)
        if os.getppid() == keeper:  # else it died before the call above could tell of it
            _place(descriptors)
            os.execvp(argv[0], argv)
    finally:
        os._exit(127)


def _place(descriptors: list[int]) -> None:
    """Give the descriptors the numbers from 3 on, first out of each other's way."""
    away = _FIRST + len(descriptors)
    moved = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, away) for each in descriptors]
    for number, descriptor in enumerate(moved, _FIRST):
        os.dup2(descriptor, number)


def _wait_for_all() -> None:
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return
