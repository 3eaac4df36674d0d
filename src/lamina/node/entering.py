"""Starts one more program in a container that runs, behind the same walls.

The runtime does it, from within the namespaces in which it was started. For a container of bwrap,
which can not, lamina enters by itself: namespaces, no capabilities, the same filter.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from lamina.core.classes import dataclass
from lamina.core.container import STOP_TIMEOUT
from lamina.core.errors import HostError, LaminaError
from lamina.core.places import INIT
from lamina.linux import descendants, syscalls
from lamina.linux.environment import reset_signals
from lamina.node import runtimes, supervise
from lamina.node.bubble import FILTER
from lamina.node.running import Running
from lamina.node.runtimes import BWRAP

# Of a container of bwrap. The user namespace comes last: from within it the others are closed.
_OF_CONTAINER = ("ipc", "uts", "net", "cgroup", "mnt", "user")


@dataclass(frozen=True, slots=True)
class _Program:
    """What is started: a runtime, which starts it, or the program itself, walled in by lamina."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    filter: bytes = b""  # compiled; empty: the runtime has its own


def enter(record: Running, command: Sequence[str], *, terminal: bool) -> int:
    """Run a program in a container to its end; its exit code."""
    names: Sequence[str]
    target: supervise.Target
    if record.runtime == BWRAP:
        if terminal:
            raise HostError("a terminal can not be had in a container of `bwrap`")
        inside, names, target = _first_of(record), _OF_CONTAINER, _itself
        compiled = Path(record.folder, FILTER).read_bytes()
        program = _Program(command, _environment(inside), compiled)
    else:
        inside, names, target = record.pid, ("mnt",), _below
        runtime = runtimes.named(record.runtime)
        words = runtimes.exec_words(
            runtime, Path(record.folder), record.id, command, user=record.user, terminal=terminal
        )
        program = _Program(words, os.environ)
    with contextlib.suppress(OSError):  # it may have ended; then there is nothing to enter either
        record.cgroup.join()
    with contextlib.ExitStack() as held:
        rest = _opened(inside, names, held)
        # In this process, so that what it starts is in them, and may enter the rest. Its `/proc`
        # stays that of the machine: there a process id means what fork tells.
        _join(_opened(record.pid, ("user",), held) + _opened(inside, ("pid",), held))
        signal.pthread_sigmask(signal.SIG_BLOCK, supervise.WATCHED)
        pid = os.fork()
        if pid == 0:
            _become(program, rest)
    return supervise.wait(pid, STOP_TIMEOUT, target, terminal=terminal)


def _environment(pid: int) -> dict[str, str]:
    """The variables that a process was started with."""
    try:
        words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return {}
    return dict(os.fsdecode(word).partition("=")[::2] for word in words if word)


def _itself(pid: int) -> int:
    return pid


def _below(pid: int) -> int | None:
    """What a runtime has started."""
    below = descendants.tree(pid)[1:]
    return below[0] if below else None


def _first_of(record: Running) -> int:
    """Process 1 of a container of bwrap."""
    find = supervise.init_of(supervise.first_words((*_INIT, *record.command)))
    found = find(record.pid) or supervise.init_of(record.command[:1])(record.pid)
    if found is None:
        raise LaminaError(f"the container `{record.id}` has ended, or has not begun yet")
    return found


_INIT = (INIT, "--")


def _opened(pid: int, names: Sequence[str], held: contextlib.ExitStack) -> list[int]:
    """Namespaces of a process, but for those that this process is in."""
    found = []
    for name in names:
        try:
            path = Path(f"/proc/{pid}/ns/{name}")
            if path.readlink() == Path(f"/proc/self/ns/{name}").readlink():
                continue
            found.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except FileNotFoundError as error:
            raise LaminaError("the container has ended") from error
        except OSError as error:
            raise HostError(f"may not enter the container: {error.strerror}") from error
        held.callback(os.close, found[-1])
    return found


def _join(namespaces: Sequence[int]) -> None:
    try:
        for namespace in namespaces:
            syscalls.setns(namespace)
    except OSError as error:
        raise HostError(f"may not enter the container: {error.strerror}") from error


def _become(program: _Program, namespaces: Sequence[int]) -> NoReturn:
    words = "it can not be started"
    try:
        syscalls.hide()  # until the exec it has what the container must not see
        syscalls.die_with_parent(signal.SIGKILL)
        _join(namespaces)
        os.chdir("/")
        if program.filter:
            _wall_in(program.filter)
        reset_signals()
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execvpe(program.argv[0], list(program.argv), dict(program.environment))
    except LaminaError as error:
        words = error.message
    except OSError as error:
        words = str(error.strerror)
    finally:
        os.write(2, f"error: `{program.argv[0]}`: {words}\n".encode())
        os._exit(127)


def _wall_in(program: bytes) -> None:
    """Give up what a program in the container does not have either."""
    syscalls.no_new_privileges()
    syscalls.drop_capabilities()
    syscalls.filter_system_calls(program)
