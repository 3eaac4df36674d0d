"""A process that has imported what commands import, and becomes each command by a fork.

The other side is `launcher/server.c`. It sends four descriptors (the standard streams and its
working folder) with a `REQUEST`, words and environment; a fork of the server reads them, answers
`R` with a pidfd of itself, and begins when `G` comes, after which nobody starts that command again.
At its end it sends `E` and its exit code, and the server that has reaped it `S` and the status.

The server holds nothing of any command but the words by which one has started its resident program,
and the paths of what the last ones had kept: it accepts, and gives who asks to a fork, which looks
who that is.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import marshal
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NoReturn

from lamina.build import record, workers
from lamina.cli import forked, main, serverclient, serverkey
from lamina.cli.preloaded import COMMANDS, MODULES
from lamina.core import classes
from lamina.formats import kept
from lamina.linux import environment, memory

_MAGIC = b"lamina1\0"
_LARGEST = 1 << 22  # bytes of words and environment; the launcher has it too
_COUNT = struct.Struct("=i")  # of commands so far, as a fork is given a caller
_STATE = struct.Struct("=qqQ")  # of a file: time, size, number
_PATIENCE = 2.0  # seconds
# Seconds without a call after which the spare process gets ready: what a command has begun, a job
# of this machine's own cluster too, has the processors first.
_PAUSE = 2.0
_READS = 8  # files that are read ahead
_SO_PEERPIDFD = 77  # since Linux 6.5


@dataclass(frozen=True, slots=True)
class Programs:
    """The two programs that lamina is: the launcher, and the one in Python that it becomes."""

    launcher: str
    usual: str


def start(key: str, programs: Programs, idle: float) -> bool:
    """Start a server in the background; whether it is there now, by this call or another one."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        _in_background(key, programs, idle, writer)
    os.close(writer)
    os.waitpid(child, 0)
    with open(reader, "rb") as file:  # noqa: PTH123 - a descriptor
        return file.read() == b"ready"


def _in_background(key: str, programs: Programs, idle: float, told: int) -> NoReturn:
    """Be the server: in a session of its own, with nothing of the process that began it."""
    code = 1
    try:
        os.setsid()
        if os.fork() == 0:
            _let_go(told)
            _preload(MODULES)
            server = _Server(key, programs, idle)
            os.write(told, b"ready")
            os.close(told)
            server.serve()
        code = 0
    finally:
        os._exit(code)


def _let_go(kept: int) -> None:
    os.chdir("/")
    os.environ.pop("LAMINA_SERVER_KEY", None)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(null, stream)
    forked.close_all_but(kept)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _preload(names: Iterable[str]) -> None:
    for name in names:
        # Some come with other versions of what is installed; a command imports what it lacks.
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    # What this process has found out of itself, to be a command, is not for others.
    for module in [each for name, each in sys.modules.items() if name.startswith("lamina.")]:
        for value in list(vars(module).values()):
            if hasattr(value, "cache_clear"):
                value.cache_clear()
            if isinstance(value, type):
                classes.complete(value)
    main.prepare(COMMANDS)
    gc.collect()
    gc.disable()  # else it would touch what is shared
    gc.freeze()


def _files(programs: Programs) -> tuple[bytes, ...]:
    """All that this process was made of."""
    origins = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    paths = {path for path in origins if isinstance(path, str) and path.startswith("/")}
    # Texts of their own, side by side: those of the modules lie on as many pages, which a fork
    # that looks at them had to copy.
    return tuple(map(os.fsencode, sorted({*paths, programs.launcher, programs.usual})))


def _states(paths: Iterable[bytes]) -> bytes:
    """What the files are now."""
    parts = bytearray()
    for path in paths:
        try:
            found = os.stat(path)
        except OSError:
            parts += bytes(_STATE.size)
        else:
            parts += _STATE.pack(found.st_mtime_ns, found.st_size, found.st_ino)
    return bytes(parts)


@dataclass
class _Server:
    """The loop. Each command has a fork that was there before it was asked for: the spare one."""

    key: str
    programs: Programs
    idle: float
    served: int = 0
    # What the spare process starts ahead: its command, and options of the layer that it will make.
    resident: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    reads: dict[str, str] = field(default_factory=dict)  # what it reads ahead: paths, and forms
    # By a pidfd: a process that has a command, and the connection to its launcher.
    children: dict[int, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.since = time.time()
        self.files = _files(self.programs)
        self.states = _states(self.files)
        self.listener: socket.socket | None = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(serverclient.address(self.key))
        self.listener.listen(128)
        self.listener.setblocking(False)
        # What forks tell: `G` of a command, `E` of the end, `A` that another server is needed.
        self.words, self.said = os.pipe()
        os.set_blocking(self.words, False)
        # And what the next one is to have ready.
        self.wishes, self.wished = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        for each in (self.wishes, self.wished):
            each.setblocking(False)
        self.poll = select.poll()
        for descriptor in (self.listener, self.words, self.wishes):
            self.poll.register(descriptor, select.POLLIN)
        self.spare: tuple[int, socket.socket] | None = None

    def serve(self) -> None:
        """Serve until told to end, or long idle; then wait for what runs, whose end is told."""
        self.spare = self._forked()
        last = time.monotonic()
        while self.listener is not None or self.children:
            left = last + self.idle - time.monotonic()
            if self.listener is not None and left <= 0 and not self.children:
                self._close()
                continue
            waits = self.listener is not None and not self.children
            for descriptor, _ in self.poll.poll(max(left, 0) * 1000 if waits else None):
                if descriptor == self.words:
                    self._hear()
                elif descriptor == self.wishes.fileno():
                    self._prepare()
                elif descriptor in self.children:
                    self._reap(descriptor)
                elif self.listener is not None and descriptor == self.listener.fileno():
                    self._accept(self.listener)
                last = time.monotonic()

    def _close(self) -> None:
        """Serve nobody any more."""
        if self.listener is not None:
            self.poll.unregister(self.listener)
            self.listener.close()
            self.listener = None
        self._end_spare()

    def _end_spare(self) -> None:
        """End the spare process, which ends as its channel does."""
        if self.spare is not None:
            pid, channel = self.spare
            channel.close()
            os.waitpid(pid, 0)
            self.spare = None

    def _prepare(self) -> None:
        """Let spare processes have ready what a command has used, from now on."""
        try:
            told = self.wishes.recv(_LARGEST)
        except OSError:
            return
        self.resident, self.reads = marshal.loads(told)
        if self.spare is not None:
            self._end_spare()
            self.spare = self._forked()

    def _tell_used(self) -> None:
        """Tell the server, at the end of a command, what resident program and files that used."""
        used = workers.last()
        resident = (used.command or self.resident[0], used.options or self.resident[1])
        reads = dict(list({**kept.reads(), **self.reads}.items())[:_READS])
        if resident != self.resident or reads.keys() != self.reads.keys():
            with contextlib.suppress(OSError):  # it is a help alone
                self.wished.send(marshal.dumps((resident, reads)))

    def _hear(self) -> None:
        try:
            told = os.read(self.words, 4096)
        except BlockingIOError:
            return
        self.served += told.count(b"G")
        if self.listener is not None and (b"E" in told or b"A" in told):
            self._close()
            if b"E" not in told:
                self._start_again()

    def _reap(self, process: int) -> None:
        pid, connection = self.children.pop(process)
        self.poll.unregister(process)
        _, status = os.waitpid(pid, 0)
        with contextlib.suppress(OSError):  # nobody is there to be told
            os.write(connection, forked.TOLD.pack(b"S", status))
        os.close(connection)
        os.close(process)

    def _accept(self, listener: socket.socket) -> None:
        """Give the next caller to the spare process; without one it goes the usual way."""
        try:
            connection, _ = listener.accept()
        except OSError:
            time.sleep(0.01)  # else this came at once again where descriptors are used up
            return
        with connection:
            self._hear()  # of what was over before this call
            if self.listener is None:
                return
            if self.spare is None:
                self.spare = self._forked()
            if self.spare is None or serverclient.peer(connection)[1] != os.getuid():
                return
            (pid, channel), self.spare = self.spare, None
            with channel:
                try:
                    process = os.pidfd_open(pid)
                except OSError:
                    channel.close()
                    os.waitpid(pid, 0)
                    return
                with contextlib.suppress(OSError):  # it was killed; its end is told
                    socket.send_fds(channel, [_COUNT.pack(self.served)], [connection.fileno()])
            self.children[process] = (pid, connection.detach())
            self.poll.register(process, select.POLLIN)
        self.spare = self._forked()

    def _forked(self) -> tuple[int, socket.socket] | None:
        """A child that becomes the next command, and the channel to it."""
        try:
            ours, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            pid = os.fork()
        except OSError:  # of processes, descriptors or memory there are no more
            return None
        if pid == 0:
            try:
                if self.listener is not None:
                    os.close(self.listener.detach())
                os.close(ours.detach())
                os.setpgid(0, 0)
                self._become(other)
            finally:
                os._exit(1)
        other.close()
        return pid, ours

    def _become(self, channel: socket.socket) -> None:
        """Wait for a caller, and be the command that it wants."""
        head, given = self._called(channel)
        if not given:
            return
        (self.served,) = _COUNT.unpack(head)
        connection = socket.socket(fileno=given[0])
        connection.settimeout(_PATIENCE)
        if not self._may_ask(connection):
            return
        head, files, _, _ = socket.recv_fds(connection, serverclient.REQUEST.size, 4)
        magic, count, size, umask = serverclient.REQUEST.unpack(head)
        if magic == serverclient.END:
            os.write(self.said, b"E")
            connection.sendall(b"E")
        elif magic == serverclient.ASK:
            server = os.getppid()
            facts = serverclient.FACTS.pack(server, self.served, self.since, _memory(server))
            connection.sendall(facts)
        elif magic == _MAGIC and len(files) == 4 and 0 < count <= size <= _LARGEST:
            if self.states != _states(self.files):
                os.write(self.said, b"A")
                return
            texts = forked.received(connection, size).split(b"\0")[:-1]
            # What fails up to here leaves the command to its caller.
            forked.take(files, umask)
            forked.be_given(texts[:count], texts[count:])
            connection.settimeout(None)
            socket.send_fds(connection, [b"R"], [os.pidfd_open(os.getpid())])
            if connection.recv(1) == b"G":
                os.write(self.said, b"G")
                forked.run(
                    connection, [self.wished.fileno(), *workers.descriptors()], self._tell_used
                )

    def _called(self, channel: socket.socket) -> tuple[bytes, list[int]]:
        """Wait for a caller, and get ready meanwhile; what the server says, and the caller."""
        steps = self._rehearsal()
        pause: float | None = _PAUSE
        while not select.select([channel], [], [], pause)[0]:
            pause = 0 if next(steps, None) else None
        head, given, _, _ = socket.recv_fds(channel, _COUNT.size, 1)
        return head, given

    def _rehearsal(self) -> Iterator[bool]:
        """Do what each command does, while nobody waits: its pages are this process's own then.

        It may be left after each step.
        """
        import argparse

        with contextlib.suppress(OSError):  # it is a help alone
            for _ in memory.make_own():
                yield True
        with contextlib.suppress(OSError):
            serverkey.key(os.getpid(), self.programs.launcher, self.programs.usual)
            yield True
            _states(self.files)
            yield True
            for number, (name, mode) in enumerate(forked.STREAMS):
                forked.stream_of(number, mode, name, getattr(sys, name))
            forked.set_environment(
                [os.fsencode(f"{name}={value}") for name, value in os.environ.items()]
            )
            parser = argparse.ArgumentParser(prog="lamina")
            command = parser.add_subparsers(dest="command", prog="lamina").add_parser("build")
            command.add_argument("--jobs", type=int, metavar="N", help="at once")
            command.add_argument("patterns", nargs="*")
            parser.parse_args(["build", "--jobs=1", "x"])
            yield True
            # Where one of these changes, another server takes the next command.
            record.look_at_own_code(set(map(os.fsdecode, self.files)))
            for path, form in self.reads.items():
                yield True
                kept.read_ahead(path, form)
            gc.freeze()  # else all that were looked through when the command begins
            yield True
            if self.resident[0]:
                workers.prepare(*self.resident)

    def _may_ask(self, connection: socket.socket) -> bool:
        """Whether the process there could do by itself all that a fork of this one can do."""
        pid, uid = serverclient.peer(connection)
        if uid != os.getuid() or pid <= 0:
            return False
        try:
            process = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
        except OSError:
            process = os.pidfd_open(pid)
        same = serverkey.key(pid, self.programs.launcher, self.programs.usual) == self.key
        # While it lives, no other process has its number.
        return same and not select.select([process], [], [], 0)[0]

    def _start_again(self) -> None:
        """Start another server, of what is installed now."""
        child = os.fork()
        if child == 0:
            try:
                os.closerange(3, os.sysconf("SC_OPEN_MAX"))
                if os.fork() == 0:
                    words = ["lamina", "server", "start", "--idle", f"{self.idle:.0f}s"]
                    os.execve(self.programs.launcher, words, environment.inherited())
            finally:
                os._exit(0)
        os.waitpid(child, 0)


def _memory(pid: int) -> int:
    with open(f"/proc/{pid}/statm", "rb") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
