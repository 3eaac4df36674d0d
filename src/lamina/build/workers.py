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
import select
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from lamina.core.action import Action
from lamina.linux import process

# Reads (sources by path, source/output pairs) and answers (exit code, outputs, stderr), each as a
# length of 8 bytes and that many of marshal. Started by the interpreter it compiles for.
_PYTHON_COMPILE = """
import marshal, sys
from importlib._bootstrap_external import SourceFileLoader, _code_to_hash_pyc
from importlib.util import source_hash
from py_compile import PyCompileError

def compiled(path, data):
    code = SourceFileLoader("<py_compile>", path).source_to_code(data, path)
    return _code_to_hash_pyc(code, source_hash(data), False)

def main():
    read, write = sys.stdin.buffer, sys.stdout.buffer
    while head := read.read(8):
        files, pairs = marshal.loads(read.read(int.from_bytes(head, "big")))
        outputs, words = {}, ""
        for source, output in pairs:
            try:
                outputs[output] = bytes(compiled(source, files[source]))
            except Exception as error:
                words += PyCompileError(type(error), error, source).msg.rstrip() + "\\n"
        answer = marshal.dumps((1 if words else 0, outputs, words.encode()))
        write.write(len(answer).to_bytes(8, "big") + answer)
        write.flush()

main()
"""
_PATIENCE = 120  # seconds until one that does not answer is given up


@dataclass(frozen=True, slots=True)
class Answer:
    """What a worker made of an action."""

    exit_code: int
    outputs: Mapping[str, bytes]  # by path below `out`
    stderr: bytes


class WorkerFailed(Exception):
    """The worker is gone or answers nonsense; the action is none the worse."""


class _Worker:
    """One resident program."""

    def __init__(self, command: Sequence[str]) -> None:
        self._child = process.spawn(
            command,
            env={},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def ask(self, request: tuple[dict[str, bytes], list[tuple[str, str]]]) -> Answer:
        """Hand over one request; raises WorkerFailed."""
        data = marshal.dumps(request)
        stdin, stdout = self._child.stdin, self._child.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(len(data).to_bytes(8, "big") + data)
            stdin.flush()
            ready = select.poll()
            ready.register(stdout, select.POLLIN)
            if not ready.poll(_PATIENCE * 1000):
                raise WorkerFailed
            answer = marshal.loads(_exactly(stdout, int.from_bytes(_exactly(stdout, 8), "big")))
            return Answer(*answer)
        except (OSError, EOFError, ValueError, TypeError) as error:
            raise WorkerFailed from error

    def end(self) -> None:
        """Kill it, whatever it does."""
        with contextlib.suppress(ProcessLookupError):  # it may have ended by itself
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        for stream in (self._child.stdin, self._child.stdout):
            if stream is not None:
                stream.close()


class Workers:
    """The resident programs of a build: one of a kind for each thread that asks."""

    def __init__(self, sandboxed: Callable[[Sequence[str], Sequence[str]], list[str]]) -> None:
        """`sandboxed` gives the command that runs another one where it sees the system alone."""
        self._sandboxed = sandboxed
        self._workers: dict[tuple[int, str, str], _Worker] = {}
        self._lock = threading.Lock()
        self._ended = False

    def run(self, action: Action, read: Callable[[str], bytes]) -> Answer:
        """Do the work of an action; `read` gives the bytes of an input. Raises WorkerFailed."""
        pairs = _pairs(action)
        files = {source: read(source) for source, _ in pairs}
        key = (threading.get_ident(), action.worker, action.arguments[0])
        with self._lock:
            if self._ended:
                raise WorkerFailed
            worker = self._workers.get(key)
            if worker is None:
                worker = self._workers[key] = _Worker(self._command(action))
        try:
            return worker.ask((files, pairs))
        except WorkerFailed:
            with self._lock:
                self._workers.pop(key, None)
            worker.end()
            raise

    def end(self) -> None:
        """End all workers, also those that are at work; none starts any more."""
        with self._lock:
            self._ended = True
            workers, self._workers = list(self._workers.values()), {}
        for worker in workers:
            worker.end()

    def _command(self, action: Action) -> list[str]:
        command = [action.arguments[0], "-I", "-S", "-c", _PYTHON_COMPILE]
        return self._sandboxed(command, action.mounts)


def knows(action: Action) -> bool:
    """Whether there is a worker for this action."""
    return action.worker == "python-compile"


def _pairs(action: Action) -> list[tuple[str, str]]:
    """Source and output of each file that is compiled, as the action's own command takes them."""
    words = action.arguments[4:]
    return [(s, o.removeprefix("out/")) for s, o in zip(words[::2], words[1::2], strict=True)]


def _exactly(stream: IO[bytes], count: int) -> bytes:
    data = stream.read(count)
    if len(data) != count:
        raise EOFError
    return data
