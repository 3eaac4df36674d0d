"""Runs one target in a process of its own, for a time, and keeps the inputs that it failed on.

A failure is any exception that is no LaminaError, a process that dies, and more seconds of the
processor for one input than it may take. What comes next is written into memory that both
processes share before it runs, so that an input which kills the process is known.

Inputs that reach lines of lamina which none reached before are kept, and changed further. To see
the lines makes Python several times slower, so it is done for one input in four.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from types import FrameType
from typing import Any

import lamina
from lamina.core.errors import LaminaError
from tests.fuzz.mutate import mutated
from tests.fuzz.targets import Target

_CODE = str(Path(next(iter(lamina.__path__))))
_MOST_MEMORY = 4 << 30  # bytes of address space
_SECONDS = 10.0  # of the processor, for one input
_SILENT = 120.0  # seconds of silence after which the process is ended
_SHARED = 2 << 20
_TRACED = 4  # one input in so many is run with its lines seen


@dataclass(slots=True)
class Outcome:
    """What came of one target."""

    name: str
    executions: int = 0
    seconds: float = 0.0
    kept: int = 0  # inputs that reached new lines
    crashes: dict[str, bytes] = field(default_factory=dict)  # what happened -> an input


class TooSlow(BaseException):
    """An input took more of the processor than it may."""


def fault_of(target: Target, data: bytes, seconds: float = _SECONDS) -> str:
    """What goes wrong with an input: "" where it is taken, or refused as it should be."""
    try:
        with _timed(seconds):
            target.run(data)
    except LaminaError as error:
        return "an error without a message" if not error.message.strip() else ""
    except TooSlow:
        return "too slow"
    except Exception as error:
        return f"{type(error).__name__} at {_place(error)}"
    return ""


def _place(error: BaseException) -> str:
    """The innermost line of lamina's own: two failures there are taken for one."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename.startswith(_CODE)] or frames
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}"


@contextlib.contextmanager
def _timed(seconds: float) -> Iterator[None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def run(target: Target, seconds: float, seed: int) -> Outcome:
    """Try inputs for so many seconds; one process after another where they die."""
    outcome = Outcome(target.name)
    begun = time.monotonic()
    while (left := seconds - (time.monotonic() - begun)) > 0:
        died = _one_process(target, left, seed + outcome.executions, outcome)
        if not died:
            break
    outcome.seconds = time.monotonic() - begun
    return outcome


def _one_process(target: Target, seconds: float, seed: int, outcome: Outcome) -> bool:
    """Whether the process died; what it told is in the outcome."""
    shared = mmap.mmap(-1, _SHARED)
    ours, theirs = Pipe(duplex=False)
    with tempfile.TemporaryDirectory(prefix="lamina-fuzz-") as folder:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.chdir(folder)
                _work(target, seconds, seed, shared, theirs)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        theirs.close()
        hung = _listen(ours, child, outcome)
        _, status = os.waitpid(child, 0)
    if status:
        size = int.from_bytes(shared[:8], "little")
        what = "it hangs" if hung else f"the process died of {_end(status)}"
        outcome.crashes[what] = shared[8 : 8 + size]
    return bool(status)


def _end(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _listen(ours: Connection, child: int, outcome: Outcome) -> bool:
    """Take what the process tells until its end; whether it had to be ended."""
    before, found = outcome.executions, outcome.kept
    while ours.poll(_SILENT):
        try:
            executions, kept, what, data = ours.recv()
        except EOFError:
            return False
        outcome.executions, outcome.kept = before + executions, found + kept
        if what:
            outcome.crashes.setdefault(what, data)
    os.kill(child, signal.SIGKILL)
    return True


def _work(target: Target, seconds: float, seed: int, shared: mmap.mmap, to: Connection) -> None:
    limit = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, limit))
    chance = random.Random(seed)
    inputs = list(target.seeds())
    seen: set[tuple[str, int]] = set()
    waiting = inputs[:]
    known: set[str] = set()
    executions = kept = 0
    told = end = time.monotonic()
    end += seconds
    while (now := time.monotonic()) < end:
        data = waiting.pop() if waiting else _next(target, inputs, chance)
        size = min(len(data), _SHARED - 8)
        shared[: 8 + size] = size.to_bytes(8, "little") + data[:size]
        lines: set[tuple[str, int]] = set()
        with _seen(lines) if executions % _TRACED == 0 else contextlib.nullcontext():
            what = fault_of(target, data)
        executions += 1
        if lines - seen:
            seen |= lines
            inputs.append(data)
            kept += 1
        if (what and what not in known) or now - told > 1:
            to.send((executions, kept, what if what not in known else "", data))
            known.add(what)
            told = now
    to.send((executions, kept, "", b""))


def _next(target: Target, inputs: list[bytes], chance: random.Random) -> bytes:
    return mutated(chance.choice(inputs), chance, target.mutators, target.words, inputs)


@contextlib.contextmanager
def _seen(lines: set[tuple[str, int]]) -> Iterator[None]:
    """The lines of lamina that run meanwhile."""

    def inside(frame: FrameType, _event: str, _value: Any) -> Any:
        lines.add((frame.f_code.co_filename, frame.f_lineno))
        return inside

    def called(frame: FrameType, _event: str, _value: Any) -> Any:
        return inside if frame.f_code.co_filename.startswith(_CODE) else None

    before = sys.gettrace()
    sys.settrace(called)
    try:
        yield
    finally:
        sys.settrace(before)


def keep(outcome: Outcome, folder: Path) -> list[Path]:
    """Write the inputs that failed, each by its digest."""
    made = []
    for data in outcome.crashes.values():
        path = folder / outcome.name / hashlib.sha256(data).hexdigest()[:16]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        made.append(path)
    return made
