"""Runs an action where it sees its declared inputs and the system's tools, and nothing else.

The inputs are hard links to blobs of the store, shown read-only at `/work`; only `/work/out` and a
private `/tmp` can be written; there is no network. bubblewrap makes the namespaces.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import stat
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from lamina.build import links
from lamina.build.stage import Stage
from lamina.core.action import OUTPUT_FOLDER, ActionResult
from lamina.core.cancellation import Cancellation
from lamina.core.classes import dataclass
from lamina.core.errors import ActionError, HostError
from lamina.core.tree import File, Folder, Node, Symlink, Tree
from lamina.linux import filesystem, process
from lamina.store.local import LocalStore

WORK = "/work"

# The same on every machine, at every time: it is part of an action's digest.
ENVIRONMENT: Mapping[str, str] = {
    "HOME": "/tmp",
    "LC_ALL": "C.UTF-8",
    "PATH": "/usr/bin:/bin",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    "SOURCE_DATE_EPOCH": "315532800",  # 1980-01-01, the first day that a zip file can tell
    "TMPDIR": "/tmp",
    "TZ": "UTC",
}

# What programs say that could not write, and how much room there may be when they have removed what
# they had written so far. An action may also have filled its own /tmp. Where there is next to none,
# they could not even say so.
_FULL = os.strerror(errno.ENOSPC).encode()
_LITTLE, _NONE = 256 << 20, 1 << 20

_SYSTEM_FOLDERS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_SYSTEM_FILES = ("/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d")

_NETWORK = tuple(
    word
    for file in ("/etc/resolv.conf", "/etc/gai.conf", "/etc/services", "/etc/ssl")
    for word in ("--ro-bind-try", file, file)
)

# What every action finds out of its host and its user, whoever and wherever that is.
_ACCOUNTS = tuple(
    word
    for file in sorted((Path(__file__).parent / "etc").iterdir())
    for word in ("--ro-bind", str(file), f"/etc/{file.name}")
)


@dataclass(frozen=True, slots=True)
class Run:
    """A command ready to run: every input is a node whose blob is in the store."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    inputs: Tree
    outputs: tuple[str, ...]
    mounts: tuple[str, ...] = ()
    timeout: float = 0.0  # seconds; 0 is never
    network: bool = False


class Cancelled(Exception):
    """The action was ended because nobody wants its result any more."""


class TimedOut(ActionError):
    """The action was ended because it took too long."""


class Sandbox:
    """Runs actions one by one in each of several threads; `cancel` ends them all."""

    def __init__(self, store: LocalStore) -> None:
        """Raises HostError where bubblewrap is missing."""
        self._store = store
        self._bwrap = str(process.require("bwrap"))
        self._stages: list[Stage] = []  # that are not in use; lists take turns between threads
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._cancelled = False
        self._system = _system_mounts()

    def cancel(self) -> None:
        """End every running action at once, and let none start."""
        with self._lock:
            self._cancelled = True
            for child in self._running:
                _kill(child)

    def close(self) -> None:
        """Remove what it keeps between actions; nothing runs any more."""
        while self._stages:
            filesystem.remove_tree(self._stages.pop().folder)

    def run(self, run: Run, cancellation: Cancellation | None = None) -> ActionResult:
        """Run a command and move what it made into the store; raises Cancelled.

        A failing command gives a result with its exit code; outputs that were not made are simply
        not in the result. Raises HostError where the sandbox itself does not work.
        """
        self._store.fetch(node.digest for node in run.inputs.values() if isinstance(node, File))
        stage = self._stage()
        try:
            stage.lay(run.inputs, run.outputs)
            code, stdout, stderr = self._execute(run, stage, cancellation or Cancellation())
            made = self._collect(stage.out) if code == 0 else {}
            if code != 0:
                stage.clear()
        except BaseException:
            filesystem.remove_tree(stage.folder)
            raise
        self._stages.append(stage)
        outputs = links.resolved(made, run.inputs, run.outputs, WORK)
        return ActionResult(tuple(sorted(outputs.items())), code, stdout, stderr)

    def _stage(self) -> Stage:
        """One that no other thread uses; `close` removes it."""
        try:
            return self._stages.pop()
        except IndexError:
            return Stage(Path(filesystem.fresh_name(self._store.scratch)), self._store)

    def _execute(
        self, run: Run, stage: Stage, cancellation: Cancellation
    ) -> tuple[int, bytes, bytes]:
        with _captured() as out, _captured() as err:
            with self._lock:
                if self._cancelled or cancellation.is_ended:
                    raise Cancelled
                child, alive = _start(self._command(run, stage), out, err)
                self._running.add(child)
            with cancellation.ends_by(partial(_kill, child)):
                code, late = _wait(child, alive, run.timeout)
            with self._lock:
                self._running.discard(child)
                if self._cancelled or cancellation.is_ended:
                    raise Cancelled
            printed, words = _content(out), _content(err)
        if late:
            raise TimedOut(f"it took longer than {run.timeout:g} s")
        if code != 0 and filesystem.room(stage.out) < (_LITTLE if _FULL in words else _NONE):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if code != 0 and words.startswith(b"bwrap: "):
            raise _own_failure(words.decode(errors="replace").strip(), run.arguments[0])
        return code, printed, words

    def _command(self, run: Run, stage: Stage) -> list[str]:
        shown = [
            "--ro-bind", str(stage.work), WORK,
            "--bind", str(stage.out), f"{WORK}/{OUTPUT_FOLDER}",
        ]  # fmt: skip
        environment = {**ENVIRONMENT, **run.environment}
        if run.network:
            shown += ["--share-net", *_NETWORK]
        return self._wrapped(run.arguments, environment, run.mounts, shown)

    def resident(self, command: Sequence[str], mounts: Sequence[str]) -> list[str]:
        """The command that runs another where it sees the system, and nothing of any action."""
        return self._wrapped(command, ENVIRONMENT, mounts, ["--dir", WORK])

    def _wrapped(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        mounts: Sequence[str],
        shown: Sequence[str],
    ) -> list[str]:
        variables = [word for key in environment for word in ("--setenv", key, environment[key])]
        return [
            self._bwrap, "--unshare-all", "--die-with-parent", "--clearenv",
            "--uid", "1000", "--gid", "1000", "--cap-drop", "ALL", "--hostname", "localhost",
            *self._system, *_ACCOUNTS,
            "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp",
            *(word for mount in mounts for word in ("--ro-bind", mount, mount)), *shown,
            "--remount-ro", "/",
            "--chdir", WORK, *variables, "--", *command,
        ]  # fmt: skip

    def _collect(self, out: Path) -> dict[str, Node]:
        found: dict[str, Node] = {}
        for parent, folders, files in os.walk(out):
            links = [name for name in folders if (Path(parent) / name).is_symlink()]
            for name in set(folders).difference(links):
                (Path(parent) / name).chmod(0o700)  # else it could not be looked into
            if not folders and not files and Path(parent) != out:
                found[Path(parent).relative_to(out).as_posix()] = Folder()
            for name in (*files, *links):
                path = Path(parent) / name
                found[_text(path.relative_to(out).as_posix())] = self._node(path)
        return found

    def _node(self, path: Path) -> Node:
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            return Symlink(str(path.readlink()))
        if not stat.S_ISREG(status.st_mode):
            raise ActionError(f"it made `{path.name}`, which is neither file, link nor folder")
        executable = bool(status.st_mode & 0o100)
        return File(self._store.take(path), executable)


@contextlib.contextmanager
def _captured() -> Iterator[int]:
    """A file in memory for what a command prints."""
    descriptor = os.memfd_create("printed")
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _content(descriptor: int) -> bytes:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


def _start(command: list[str], stdout: int, stderr: int) -> tuple[subprocess.Popen[bytes], int]:
    """Start a command; also a descriptor that is at its end when the last process is gone.

    The processes inside hold the other end: once it is closed, nobody writes to an output any more.
    """
    alive, held = os.pipe()
    try:
        child = process.spawn(command, env={}, stdout=stdout, stderr=stderr, pass_fds=[held])
    except OSError as error:  # above all a command line that is too long
        os.close(alive)
        raise ActionError(f"cannot start: {error.strerror}") from error
    finally:
        os.close(held)
    return child, alive


def _wait(child: subprocess.Popen[bytes], alive: int, timeout: float) -> tuple[int, bool]:
    """The exit code of a child, and whether it was killed because it took too long."""
    ends = select.poll()
    ends.register(alive)
    late = not ends.poll(timeout * 1000 or None)
    if late:
        _kill(child)
    code = child.wait()
    os.read(alive, 1)
    os.close(alive)
    return code, late


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End it and all that it has started: the sandbox ends with its first process."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def _text(path: str) -> str:
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise ActionError(f"it made {path!r}, a name that is not UTF-8") from error
    return path


def _own_failure(words: str, program: str) -> HostError:
    if "execvp" in words:
        return HostError(
            f"actions cannot start `{program}`: {words.rpartition(': ')[2]}",
            hint="actions see `/usr`, `/bin` and `/lib`; name another tool in `lamina.toml`",
        )
    if words.endswith(os.strerror(errno.EAGAIN)):
        hint = process.TOO_MANY
    else:
        hint = "actions need user namespaces; `lamina doctor` tells what is missing"
    return HostError(f"the sandbox does not work here: {words}", hint=hint)


def _system_mounts() -> Sequence[str]:
    """What every action sees of the machine: its programs and libraries, read-only."""
    words = ["--ro-bind", "/usr", "/usr"]
    for folder in map(Path, _SYSTEM_FOLDERS):
        if folder.is_symlink():
            words += ["--symlink", str(folder.readlink()), str(folder)]
        elif folder.is_dir():
            words += ["--ro-bind", str(folder), str(folder)]
    for file in _SYSTEM_FILES:
        words += ["--ro-bind-try", file, file]
    return words
