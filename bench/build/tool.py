"""What the bench asks of a build tool, and one command of it: its time, its output, its memory."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.build.memory import Peaks, Watched, watch
from bench.build.repository import Repository
from bench.build.shape import Target

_MINUTES = 120  # that one command may take
_TAIL = 4_000  # characters of its messages that are told when it fails


@dataclass(frozen=True, slots=True)
class Done:
    """One command that succeeded."""

    seconds: float
    output: str
    messages: str
    peaks: Peaks


@dataclass(frozen=True, slots=True)
class Built:
    """One build; `compiled` is counted only where it was asked for."""

    seconds: float
    ran: int  # programs started, or actions
    compiled: int | None
    peaks: Peaks


class Tool(Protocol):
    """A build tool with a repository of its own."""

    name: str
    repository: Repository

    def build(self, *, detail: bool = False, memory: bool = False) -> Built:
        """Build all targets; with `detail`, count the compilations of C++."""
        ...

    def query(self, expression: str, *, memory: bool = False) -> Done:
        """Ask for labels, a line each."""
        ...

    def load(self) -> Done:
        """Read all BUILD files and list the targets."""
        ...

    def program(self, target: Target) -> Path:
        """Where a program of C++ lies once all is built."""
        ...

    def forget(self) -> None:
        """Drop all that was built, so that the next build begins anew."""
        ...

    def forget_loaded(self) -> None:
        """Drop what is known of the BUILD files, so that the next `load` reads them all."""
        ...

    def stop(self) -> None:
        """End what is resident."""
        ...

    def start(self) -> None:
        """Start what is resident, if anything."""
        ...

    def close(self) -> None:
        """End what is resident, and remove what the tool itself must remove."""
        ...


class CommandFailed(Exception):
    """A tool's command failed: what was asked and what it said."""


def command(
    argv: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    *,
    memory: bool = False,
    resident: Sequence[int] = (),
) -> Done:
    """Run a command to its end; with `memory`, watch it and those processes that are resident."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as messages:
        begun = time.perf_counter()
        child = subprocess.Popen(
            argv, cwd=cwd, env=env, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=output, stderr=messages,
        )  # fmt: skip
        looking = watch(child.pid, resident) if memory else nullcontext(Watched())
        try:
            with looking as watched, _deadline(child.pid):
                _, status, usage = os.wait4(child.pid, 0)
                seconds = time.perf_counter() - begun
            child.returncode = os.waitstatus_to_exitcode(status)
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            raise
        said, complained = _text(output.fileno()), _text(messages.fileno())
    if child.returncode:
        what = f"{' '.join(argv)} failed with {child.returncode}"
        raise CommandFailed(f"{what}: {complained[-_TAIL:]}")
    return Done(seconds, said, complained, watched.peaks(usage.ru_maxrss << 10))


def _text(file: int) -> str:
    return os.pread(file, os.fstat(file).st_size, 0).decode(errors="replace")


@contextmanager
def _deadline(group: int) -> Iterator[None]:
    """Kill a process group that takes too long."""
    timer = threading.Timer(_MINUTES * 60, os.killpg, (group, signal.SIGKILL))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
