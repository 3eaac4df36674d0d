"""A fork of the server as a command: what it takes on of its caller, and how it ends.

It is to be what a fresh process of the interpreter would be (`forkserver` has the rest).
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, TextIO

TOLD = struct.Struct("=ci")  # how a command has ended: who tells it, and the code
STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def run(connection: socket.socket, own: Iterable[int], after: Callable[[], None]) -> NoReturn:
    """Be the command, and do something after it.

    Each descriptor but the connection and its `own` is of the server, and of no use here.
    """
    kept = connection.fileno()
    close_all_but(kept, *own)
    _end_with(connection)
    gc.enable()
    from lamina.cli import start

    code = ended(start.program)
    after()
    # What is held by open files is free, and read to its end, before anybody is told.
    close_all_but(kept)
    os.closerange(0, 3)
    with contextlib.suppress(OSError):
        connection.sendall(TOLD.pack(b"E", code))
    os._exit(code)


def received(connection: socket.socket, size: int) -> bytes:
    """So many bytes; raises EOFError where fewer come."""
    data = bytearray()
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return bytes(data)


def take(files: list[int], umask: int) -> None:
    """The streams, the working folder and the mask for new files of the caller."""
    for stream in range(3):
        os.dup2(files[stream], stream)
    os.fchdir(files[3])
    os.umask(umask)


def be_given(words: list[bytes], variables: list[bytes]) -> None:
    """Words, environment and streams, as Python has them at its start."""
    place = sys.orig_argv.index(sys.argv[0])
    own = [os.fsdecode(word) for word in words[1:]]
    sys.argv[1:] = own
    sys.orig_argv[place + 1 :] = own
    set_environment(variables)
    for number, (name, mode) in enumerate(STREAMS):
        stream = stream_of(number, mode, name, getattr(sys, name))
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def set_environment(variables: Iterable[bytes]) -> None:
    """Exchange the environment; the first of a name counts. The locale that Python set stays."""
    coerced = os.environ.get("LC_CTYPE")
    found: dict[str, str] = {}
    for variable in variables:
        name, _, value = os.fsdecode(variable).partition("=")
        found.setdefault(name, value)
    if coerced is not None:
        found["LC_CTYPE"] = coerced  # the key has what callers say of it
    os.environ.clear()
    os.environ.update(found)


def stream_of(descriptor: int, mode: str, name: str, like: TextIO) -> TextIO:
    """A standard stream, as Python makes it at its start, with the encoding of another."""
    import io

    plain = bool(getattr(like, "write_through", False))
    buffering = 0 if plain and mode == "w" else -1
    buffer: Any = open(descriptor, f"{mode}b", buffering, closefd=False)  # noqa: SIM115
    raw = buffer if buffering == 0 else buffer.raw
    raw.name = f"<{name}>"
    stream = io.TextIOWrapper(
        buffer,
        encoding=like.encoding,
        errors=like.errors,
        newline="\n",
        line_buffering=not plain and (raw.isatty() or name == "stderr"),
        write_through=plain,
    )
    stream.mode = mode  # type: ignore[misc]
    return stream


def _end_with(connection: socket.socket) -> None:
    """Let SIGHUP tell when the launcher is gone, which stands for the terminal."""
    descriptor = connection.fileno()
    fcntl.fcntl(descriptor, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGHUP)
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_ASYNC)
    poll = select.poll()
    poll.register(descriptor, select.POLLRDHUP)
    if poll.poll(0):
        os.kill(os.getpid(), signal.SIGHUP)


def ended(program: Callable[[], int]) -> int:
    """Run a program and end as the interpreter does; the exit code that it would end with."""
    import atexit
    import threading

    try:
        code = program()
    except SystemExit as error:
        code = _code_of(error)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        code = 1
        if isinstance(error, KeyboardInterrupt):
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except Exception as error:
        code = 120
        with contextlib.suppress(Exception):
            sys.stderr.write(
                f"Exception ignored in: {sys.stdout!r}\n{type(error).__name__}: {error}\n"
            )
    with contextlib.suppress(Exception):
        sys.stderr.flush()
    return code & 0xFF


def _code_of(error: SystemExit) -> int:
    if error.code is None or isinstance(error.code, int):
        return error.code or 0
    sys.stderr.write(f"{error.code}\n")
    return 1


def close_all_but(*kept: int) -> None:
    """Close all descriptors but the standard streams and some."""
    begin = 3
    for descriptor in sorted(kept):
        os.closerange(begin, descriptor)
        begin = descriptor + 1
    os.closerange(begin, os.sysconf("SC_OPEN_MAX"))
