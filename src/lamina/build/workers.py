"""Resident programs that do the work of many small actions without a process for each.

A worker runs in the same sandbox as any action, but sees no input there: it is handed the bytes of
the action's inputs and hands back those of its outputs, so nothing stays behind from one action to
the next. What it makes is byte for byte what the action's own command makes; where there is no
worker, or one breaks, that command runs instead.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from lamina.core.action import Action
from lamina.core.classes import dataclass
from lamina.linux import process

# Reads (sources by path, source/output pairs) and answers (exit code, outputs, stderr), each as a
# length of 8 bytes and that many of marshal. Started by the interpreter it compiles for.
_PYTHON_COMPILE = """
import _imp, marshal, sys
from importlib import _bootstrap_external as external

def source_hash(data):  # as importlib.util has it, which takes longer to import than a module takes
    magic = getattr(_imp, "pyc_magic_number_token", None) or external._RAW_MAGIC_NUMBER
    return _imp.source_hash(magic, data)

def compiled(path, data):
    code = external.SourceFileLoader("<py_compile>", path).source_to_code(data, path)
    return external._code_to_hash_pyc(code, source_hash(data), False)

def main():
    read, write = sys.stdin.buffer, sys.stdout.buffer
    while head := read.read(8):
        files, pairs = marshal.loads(read.read(int.from_bytes(head, "big")))
        outputs, words = {}, ""
        for source, output in pairs:
            try:
                outputs[output] = bytes(compiled(source, files[source]))
            except Exception as error:
                from py_compile import PyCompileError

                words += PyCompileError(type(error), error, source).msg.rstrip() + "\\n"
        answer = marshal.dumps((1 if words else 0, outputs, words.encode()))
        write.write(len(answer).to_bytes(8, "big") + answer)
        write.flush()

main()
"""
_PATIENCE = 120  # seconds until one that does not answer is given up
_DEPTH = 16  # actions that one is handed at once, so that it never waits for the next
_FEW = 4  # handing over so many takes less than starting another
_PIPE = 1 << 16  # bytes, as much as a pipe takes at once
_LARGEST = 1 << 31  # bytes of an answer that makes sense

BROKEN = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    IndexError,
)  # what tells that a worker is no good

Files = Mapping[str, bytes]  # by path


@dataclass(frozen=True, slots=True)
class Answer:
    """What a worker made of an action."""

    exit_code: int
    outputs: Files  # by path below `out`
    stderr: bytes


class Worker:
    """One resident program, at work on some actions one after another."""

    def __init__(self, command: Sequence[str]) -> None:
        self._child = process.spawn(
            command,
            env={},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self.stdin, self.stdout = self._child.stdin.fileno(), self._child.stdout.fileno()
        for pipe in (self.stdin, self.stdout):
            os.set_blocking(pipe, False)
        self._sending = bytearray()
        self._received = bytearray()
        self._moved = time.monotonic()  # when something last went to it or came from it
        self._is_spoilt = False  # it has said nonsense
        self.actions: deque[Action] = deque()  # in the order in which they are answered

    @property
    def is_sending(self) -> bool:
        """Whether there is more to hand over than it took."""
        return bool(self._sending)

    @property
    def is_stuck(self) -> bool:
        """Whether it should have answered long ago, or never will."""
        late = time.monotonic() - self._moved > _PATIENCE
        return bool(self.actions) and (self._is_spoilt or late)

    def send(self, action: Action, files: Files) -> None:
        """Hand over an action; raises OSError where it is gone."""
        pairs = _pairs(action)
        data = marshal.dumps(({source: files[source] for source, _ in pairs}, pairs))
        if not self.actions:
            self._moved = time.monotonic()
        self.actions.append(action)
        self._sending += len(data).to_bytes(8, "big") + data
        self.flush()

    def flush(self) -> None:
        """Hand over as much as it takes; raises OSError where it is gone."""
        try:
            while self._sending:
                del self._sending[: os.write(self.stdin, self._sending[:_PIPE])]
                self._moved = time.monotonic()
        except BlockingIOError:
            return

    def answers(self) -> list[tuple[Action, Answer]]:
        """What has come since; raises one of `BROKEN` if that is nonsense, or its end."""
        data = os.read(self.stdout, 1 << 20)
        if not data:
            raise EOFError
        self._moved = time.monotonic()
        self._received += data
        found: list[tuple[Action, Answer]] = []
        try:
            while (answer := self._next()) is not None:
                found.append((self.actions.popleft(), answer))
        except BROKEN:
            if not found:
                raise
            self._is_spoilt = True  # what came before that is good all the same
        return found

    def _next(self) -> Answer | None:
        """The next answer that is there as a whole."""
        if len(self._received) < 8:
            return None
        end = 8 + int.from_bytes(self._received[:8], "big")
        if end > _LARGEST:
            raise ValueError(end)
        if len(self._received) < end:
            return None
        code, outputs, words = marshal.loads(self._received[8:end])
        del self._received[:end]
        return Answer(code, outputs, words)

    def end(self) -> None:
        """Kill it, whatever it does."""
        with contextlib.suppress(ProcessLookupError):  # it may have ended by itself
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        for stream in (self._child.stdin, self._child.stdout):
            if stream is not None:
                stream.close()


class Workers:
    """The resident programs of a build, used by one thread."""

    def __init__(
        self, sandboxed: Callable[[Sequence[str], Sequence[str]], list[str]], count: int
    ) -> None:
        """At most `count` are there at once.

        `sandboxed` gives the command that runs another one where it sees the system alone.
        """
        self._sandboxed = sandboxed
        self._count = count
        self._workers: list[tuple[tuple[str, ...], Worker]] = []  # with what they are for

    @property
    def at_work(self) -> list[Worker]:
        """Those that have actions."""
        return [worker for _, worker in self._workers if worker.actions]

    def least_busy(self, action: Action) -> Worker | None:
        """Of those at work that can be handed an action, the one that has fewest."""
        fit = [worker for worker in self._fit(action) if 0 < len(worker.actions) < _DEPTH]
        return min(fit, key=lambda worker: len(worker.actions), default=None)

    def take(self, action: Action, *, more: bool) -> Worker:
        """One to be handed an action; with `more`, one more than are at work may be."""
        busy = self.least_busy(action)
        if not more or (busy and len(busy.actions) < _FEW):
            assert busy is not None
            return busy
        idle = (worker for worker in self._fit(action) if not worker.actions)
        return next(idle, None) or self._start(action)

    def drop(self, worker: Worker) -> list[Action]:
        """End one that is broken; the actions that it was at work on."""
        self._workers = [each for each in self._workers if each[1] is not worker]
        worker.end()
        return list(worker.actions)

    def end(self) -> None:
        """End all, also those that are at work."""
        for _, worker in self._workers:
            worker.end()
        self._workers.clear()

    def _fit(self, action: Action) -> list[Worker]:
        kind = _kind(action)
        return [worker for known, worker in self._workers if known == kind]

    def _start(self, action: Action) -> Worker:
        if len(self._workers) >= self._count:  # those that are for something else make room
            self.drop(next(worker for _, worker in self._workers if not worker.actions))
        command = [action.arguments[0], "-I", "-S", "-c", _PYTHON_COMPILE]
        worker = Worker(self._sandboxed(command, action.mounts))
        self._workers.append((_kind(action), worker))
        return worker


def _kind(action: Action) -> tuple[str, ...]:
    """What a worker is for: it does actions of one interpreter."""
    return (action.worker, action.arguments[0], *action.mounts)


def knows(action: Action) -> bool:
    """Whether there is a worker for this action."""
    return action.worker == "python-compile"


def sources(action: Action) -> list[str]:
    """The inputs that a worker wants to have for an action."""
    return [source for source, _ in _pairs(action)]


def _pairs(action: Action) -> list[tuple[str, str]]:
    """Source and output of each file that is compiled, as the action's own command takes them."""
    words = action.arguments[4:]
    return [(s, o.removeprefix("out/")) for s, o in zip(words[::2], words[1::2], strict=True)]
