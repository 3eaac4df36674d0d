"""Starts one more program in a container that runs, behind the same walls.

The runtime does it, from within the namespaces in which it was started. For a container of bwrap,
which can not, lamina enters by itself: namespaces, no capabilities, the same filter.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Sequence
from typing import NoReturn

from lamina.core.container import STOP_TIMEOUT
from lamina.core.errors import HostError, LaminaError
from lamina.formats.runtimespec import INIT
from lamina.linux import syscalls
from lamina.node import launch, running, runtimes, supervise
from lamina.node.bubble import FILTER
from lamina.node.running import Running
from lamina.node.runtimes import BWRAP

# The order matters: the rights to enter the others come with the first.
_OF_RUNTIME = ("user", "mnt", "pid")
_OF_CONTAINER = ("user", "ipc", "uts", "net", "cgroup", "pid", "mnt")


def enter(record: Running, command: Sequence[str], *, terminal: bool) -> int:
    """Run a program in a container to its end; its exit code."""
    inside, program = record.pid, b""
    names: Sequence[str] = _OF_RUNTIME
    if record.runtime == BWRAP:
        if terminal:
            raise HostError("a terminal can not be had in a container of `bwrap`")
        inside = _first_of(record)
        names = _OF_CONTAINER
        program = (record.folder / FILTER).read_bytes()
    with contextlib.suppress(OSError):  # it may have ended; then there is nothing to enter either
        record.cgroup.join()
    _join(inside, names, rootless=record.rootless)
    signal.pthread_sigmask(signal.SIG_BLOCK, supervise.WATCHED)
    pid = os.fork()
    if pid == 0:
        _become(record, command, program, terminal=terminal)
    target = _itself if record.runtime == BWRAP else _below
    return supervise.wait(pid, STOP_TIMEOUT, target, terminal=terminal)


def _itself(pid: int) -> int:
    return pid


def _below(pid: int) -> int | None:
    """What a runtime has started."""
    below = running.tree(pid)[1:]
    return below[0] if below else None


def _first_of(record: Running) -> int:
    """Process 1 of a container of bwrap."""
    find = supervise.init_of(supervise.first_words((*_INIT, *record.command)))
    found = find(record.pid) or supervise.init_of(record.command[:1])(record.pid)
    if found is None:
        raise LaminaError(f"the container `{record.id}` has ended, or has not begun yet")
    return found


_INIT = (INIT, "--")


def _join(pid: int, names: Sequence[str], *, rootless: bool) -> None:
    """Move this process into namespaces of another: what it starts is in them."""
    with contextlib.ExitStack() as held:
        try:
            descriptors = []
            for name in names:
                if name != "user" or rootless:
                    path = f"/proc/{pid}/ns/{name}"
                    descriptors.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
                    held.callback(os.close, descriptors[-1])
            for descriptor in descriptors:
                syscalls.setns(descriptor)
        except FileNotFoundError as error:
            raise LaminaError("the container has ended") from error
        except OSError as error:
            raise HostError(f"may not enter the container: {error.strerror}") from error
    os.chdir("/")


def _become(record: Running, command: Sequence[str], program: bytes, *, terminal: bool) -> NoReturn:
    words = "it can not be started"
    try:
        syscalls.die_with_parent(signal.SIGKILL)
        if record.runtime == BWRAP:
            _wall_in(program)
        else:
            runtime = runtimes.named(record.runtime)
            id_, bundle = record.id, record.folder
            command = runtimes.exec_words(runtime, bundle, id_, command, terminal=terminal)
        launch.reset_signals()
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execvp(command[0], list(command))
    except LaminaError as error:
        words = error.message
    except OSError as error:
        words = str(error.strerror)
    finally:
        os.write(2, f"error: `{command[0]}`: {words}\n".encode())
        os._exit(127)


def _wall_in(program: bytes) -> None:
    """Give up what a program in the container does not have either."""
    syscalls.no_new_privileges()
    syscalls.drop_capabilities()
    syscalls.filter_system_calls(program)
