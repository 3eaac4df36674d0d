"""Resident programs that do the work of many small actions without a process for each.

A worker runs in the same sandbox as any action, but sees no input there: it is handed the bytes of
the action's inputs and hands back those of its outputs, so nothing stays behind from one action to
the next. What it makes is byte for byte what the action's own command makes; where there is no
worker, or one breaks, that command runs instead.

Between builds they wait for the next one in this process: `prepare` starts one ahead, `dismiss`
ends all.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lamina.core.action import Action, Stored
from lamina.core.classes import dataclass
from lamina.core.tree import File
from lamina.linux import filesystem, process

# What they do. The arguments of a COMPILE are an interpreter, its three words, and pairs of source
# and output. A LAYER is of files alone: its arguments are a shell, its three words, and options of
# mksquashfs; its inputs are a `header` and the files in `root`.
COMPILE, LAYER = "python-compile", "layer"

_AHEAD = "ahead"  # be ready for a LAYER of some options; it is not answered

# Reads requests (what to do, and its arguments) and answers (exit code, outputs, stderr), each
# as a length of 8 bytes and that many of marshal. Started by the interpreter it compiles for.
#
# Of what mksquashfs takes for a small image, nearly all is its start. So one that is expected is
# started before: from a tar archive, for which it waits then, it makes the same image but for one
# flag of the superblock (fragments also of files that are longer than a block) as from a folder
# with the same order, of files of one block at most, unless all bytes of that are zero.
_PROGRAM = """
import _imp, marshal, sys
from importlib import _bootstrap_external as external

def source_hash(data):  # as importlib.util has it, which takes longer to import than a module takes
    magic = getattr(_imp, "pyc_magic_number_token", None) or external._RAW_MAGIC_NUMBER
    return _imp.source_hash(magic, data)

def compiled(path, data):
    code = external.SourceFileLoader("<py_compile>", path).source_to_code(data, path)
    return external._code_to_hash_pyc(code, source_hash(data), False)

def compile_all(files, pairs):
    outputs, words = {}, ""
    for source, output in pairs:
        try:
            outputs[output] = bytes(compiled(source, files[source]))
        except Exception as error:
            from py_compile import PyCompileError

            words += PyCompileError(type(error), error, source).msg.rstrip() + "\\n"
    return 1 if words else 0, outputs, words.encode()

def write(path, data, mode):
    import os

    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(file, "wb") as opened:
        opened.write(data)

def spawned(source, words, stdin):
    import os

    environment = {name: os.environ[name] for name in os.environ if name != "SOURCE_DATE_EPOCH"}
    streams = [(os.POSIX_SPAWN_OPEN, stream, "/dev/null", os.O_RDWR, 0) for stream in range(3)]
    if stdin is not None:
        streams[0] = (os.POSIX_SPAWN_DUP2, stdin, 0)
    words = ["mksquashfs", source, "/tmp/layer.xar", *words, "-offset", "4096"]
    words += ["-processors", "1"]  # it is little; the bytes are the same
    return os.posix_spawnp(words[0], words, environment, file_actions=streams)

def start_ahead(options):
    import os

    words = ["-tar", "-root-mode", "0755", "-root-uid", "0", "-root-gid", "0", "-root-time", "0"]
    for before, word in zip(["", *options], options):
        if "-action" not in (word, before) and word != "-no-hardlinks":
            words.append(word)
    reader, writer = os.pipe()
    ahead.append((options, spawned("-", words, reader), writer))
    os.close(reader)

def entry(name, mode, kind, data):
    head = bytearray(512)
    head[:len(name)] = name
    head[100:135] = b"%07o\\0%07o\\0%07o\\0%011o" % (mode, 0, 0, len(data))
    head[136:157] = b"%011o\\0        %c" % (0, kind)
    head[257:265] = b"ustar\\x0000"
    head[148:155] = b"%06o\\0" % sum(head)
    return bytes(head) + data + bytes(-len(data) % 512)

def archive(files, most):
    if not all(len(data) <= most and (data.strip(b"\\0") or not data) for _, data, _ in files):
        return None
    found, folders = [], set()
    for path, data, executable in files:
        *above, name = path.encode().split(b"/")[1:]  # below the root
        for end in range(len(above)):
            folder = b"/".join(above[:end + 1])
            if folder not in folders:
                folders.add(folder)
                found.append((folder, 0o755, 53, b""))
        found.append((b"/".join([*above, name]), 0o755 if executable else 0o644, 48, data))
    found.sort(key=lambda each: each[0].split(b"/"))
    if any(len(name) > 100 for name, *_ in found):
        return None
    return b"".join(entry(*each) for each in found) + bytes(1024)

def layer_ahead(files, options):
    import os

    known, child, writer = ahead.pop()
    most = int(options[options.index("-b") + 1]) if "-b" in options else 0
    wanted = [each for each in files if each[0] != "header"]
    data = archive(wanted, most) if known == options and wanted else None
    if data is None:
        os.kill(child, 9)
    try:
        while data:
            data = data[os.write(writer, data):]
    except BrokenPipeError:
        pass  # it has ended: an older one knows no archives
    os.close(writer)
    image = result(child)
    if image is not None:
        image = bytearray(image)
        image[4096 + 24] &= ~0x20
    return image

def result(child):
    import os

    failed = os.waitpid(child, 0)[1]
    try:
        with open("/tmp/layer.xar", "rb") as file:
            image = file.read()
        os.unlink("/tmp/layer.xar")
    except FileNotFoundError:
        return None
    return None if failed else image

def layer(files, options):
    image = layer_ahead(files, options) if ahead else None
    if image is None:
        image = layer_of_folder(files, options)
    header = next(data for path, data, _ in files if path == "header")
    return 0, {"layer.xar": header + image[len(header):]}, b""

def layer_of_folder(files, options):
    import os

    folders = ["/tmp/root"]
    os.mkdir(folders[0])
    for path, data, executable in files:
        place = "/tmp/" + path
        above = [place[:n] for n, letter in enumerate(place) if letter == "/" and n > 9]
        for folder in above:
            if folder not in folders:
                os.mkdir(folder)
                folders.append(folder)
        write(place, data, 0o555 if executable else 0o444)
    image = result(spawned("/tmp/root", options, None))
    if image is None:
        sys.exit(1)  # the action's own command tells why
    for path, _, _ in files:
        os.unlink("/tmp/" + path)
    for folder in reversed(folders):
        os.rmdir(folder)
    return image

ahead = []  # options, a process that waits, and where it reads

def main():
    read, put = sys.stdin.buffer, sys.stdout.buffer
    work = {"python-compile": compile_all, "layer": layer}
    while head := read.read(8):
        kind, *given = marshal.loads(read.read(int.from_bytes(head, "big")))
        if kind == "ahead":
            start_ahead(*given)
            continue
        answer = marshal.dumps(work[kind](*given))
        put.write(len(answer).to_bytes(8, "big") + answer)
        put.flush()

main()
"""
_WORDS = ("-I", "-S", "-c", _PROGRAM)  # after an interpreter
_PATIENCE = 120  # seconds until one that does not answer is given up
_DEPTH = 16  # actions that one is handed at once, so that it never waits for the next
_FEW = 4  # handing over so many takes less than starting another
_PIPE = 1 << 16  # bytes, as much as a pipe takes at once
_LARGEST = 1 << 31  # bytes of an answer that makes sense
_USUAL = "/usr/bin/"  # where a bare name is found in the sandbox
_SHOWN = "/usr/"  # what the sandbox shows of programs

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
        self.command = tuple(command)
        self.state = _state(command)
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
        self.is_spoilt = False  # it has said nonsense
        self.actions: deque[Action] = deque()  # in the order in which they are answered

    @property
    def is_sending(self) -> bool:
        """Whether there is more to hand over than it took."""
        return bool(self._sending)

    @property
    def is_stuck(self) -> bool:
        """Whether it should have answered long ago, or never will."""
        late = time.monotonic() - self._moved > _PATIENCE
        return bool(self.actions) and (self.is_spoilt or late)

    def send(self, action: Action, files: Files) -> None:
        """Hand over an action; raises OSError where it is gone."""
        if not self.actions:
            self._moved = time.monotonic()
        self.actions.append(action)
        self._hand_over(_request(action, files))

    def expect(self, options: Sequence[str]) -> None:
        """Let it be ready for a layer of these options; raises OSError where it is gone."""
        self._hand_over((_AHEAD, list(options)))

    def _hand_over(self, request: tuple[Any, ...]) -> None:
        data = marshal.dumps(request)
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
            self.is_spoilt = True  # what came before that is good all the same
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

    def end(self, *, keep: bool = False) -> None:
        """End all, also those that are at work; `keep` those that are not for the next build."""
        for _, worker in self._workers:
            if keep and not worker.actions and not worker.is_spoilt:
                _waiting.append(worker)
            else:
                worker.end()
        self._workers.clear()

    def _fit(self, action: Action) -> list[Worker]:
        kind = _kind(action)
        return [worker for known, worker in self._workers if known == kind]

    def _start(self, action: Action) -> Worker:
        if len(self._workers) >= self._count:  # those that are for something else make room
            self.drop(next(worker for _, worker in self._workers if not worker.actions))
        interpreter, *mounts = kind = _kind(action)
        command = self._sandboxed([interpreter, *_WORDS], mounts)
        _last.command = tuple(command)
        worker = _waited(command) or Worker(command)
        self._workers.append((kind, worker))
        return worker


@dataclass(slots=True)
class Usual:
    """What a build used, and the next one may use again."""

    command: tuple[str, ...] = ()  # of the last worker
    options: tuple[str, ...] = ()  # of the last layer


# Of this process.
_waiting: list[Worker] = []
_last = Usual()


def _waited(command: Sequence[str]) -> Worker | None:
    """One that waits for what this command would be started for."""
    for number, worker in enumerate(_waiting):
        if worker.command == tuple(command) and worker.state == _state(command):
            return _waiting.pop(number)
    return None


def _state(command: Sequence[str]) -> list[object]:
    """What the programs of a command are now: another one may be installed while one waits."""
    found: list[object] = []
    for program in (command[0], *command[-1 - len(_WORDS) :][:1]):
        try:
            found.append(filesystem.identity(os.stat(program)))
        except OSError:
            found.append(None)
    return found


def prepare(command: Sequence[str], options: Sequence[str]) -> None:
    """Start one for the next build in this process that would start it by this command.

    With options, it will make a layer of these soon. Raises OSError where it has ended at once.
    """
    worker = Worker(command)
    _waiting.append(worker)
    if options:
        worker.expect(options)


def last() -> Usual:
    """By what the last one was started, or would have been; nothing before the first."""
    return _last


def descriptors() -> list[int]:
    """The pipes to those that wait."""
    return [pipe for worker in _waiting for pipe in (worker.stdin, worker.stdout)]


def dismiss() -> None:
    """End those that wait."""
    while _waiting:
        _waiting.pop().end()


def _kind(action: Action) -> tuple[str, ...]:
    """What one has to be for an action: an interpreter, and the folders that it needs."""
    if action.worker == LAYER:
        return (_own_interpreter(),)
    return (_full(action.arguments[0]), *action.mounts)


def _full(program: str) -> str:
    """A program by its path, as it is found in the sandbox."""
    path = program if "/" in program else f"{_USUAL}{program}"
    return os.path.realpath(path) if path.startswith(_SHOWN) else path


def _own_interpreter() -> str:
    """What runs lamina, which makes layers as well as any."""
    return os.path.realpath(sys.executable)


def knows(action: Action) -> bool:
    """Whether there is a worker for this action."""
    if action.worker == LAYER:
        return _own_interpreter().startswith(_SHOWN)
    return action.worker == COMPILE


def sources(action: Action) -> list[str]:
    """The inputs that a worker wants to have for an action."""
    if action.worker == LAYER:
        return [path for path, _ in action.inputs]
    return [source for source, _ in _pairs(action)]


def _request(action: Action, files: Files) -> tuple[Any, ...]:
    """What it is handed: the kind of work, and two arguments."""
    if action.worker == LAYER:
        nodes = {path: item.node for path, item in action.inputs if isinstance(item, Stored)}
        executables = {p for p, node in nodes.items() if isinstance(node, File) and node.executable}
        found = [(path, files[path], path in executables) for path in sources(action)]
        _last.options = action.arguments[4:]
        return LAYER, found, list(action.arguments[4:])
    pairs = _pairs(action)
    return COMPILE, {source: files[source] for source, _ in pairs}, pairs


def _pairs(action: Action) -> list[tuple[str, str]]:
    """Source and output of each file that is compiled, as the action's own command takes them."""
    words = action.arguments[4:]
    return [(s, o.removeprefix("out/")) for s, o in zip(words[::2], words[1::2], strict=True)]
