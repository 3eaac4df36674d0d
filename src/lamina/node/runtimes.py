"""Which program builds the walls of a container here: crun, else runc, else bwrap.

That one is installed says little: crun refuses hosts with control groups of both versions, and in
many containers nothing may mount /proc. So each is tried, with the same kind of container, and the
answer is kept until the machine starts anew or the program's file changes, for those with the same
rights.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from lamina.core.classes import dataclass
from lamina.core.errors import HostError, LaminaError, UserError
from lamina.linux import filesystem, rights
from lamina.node import state

CRUN, RUNC, BWRAP = "crun", "runc", "bwrap"
NAMES = (CRUN, RUNC, BWRAP)
INITS = ("tini-static", "tini", "catatonit", "docker-init")
BOOT = Path("/proc/sys/kernel/random/boot_id")
_MOST_KNOWN = 30  # answers: containers may share the folder of this user, and each has its own


@dataclass(frozen=True, slots=True)
class Runtime:
    """A runtime that is installed."""

    name: str
    path: Path

    @property
    def overhead(self) -> int:
        """Processes and threads in the container's control group that are its own, or the init."""
        return {CRUN: 2, RUNC: 25, BWRAP: 2}[self.name]


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of a try."""

    name: str
    path: Path | None  # None: it is not installed
    complaint: str  # empty: it works

    @property
    def works(self) -> bool:
        """Whether it can be used."""
        return self.path is not None and not self.complaint


Try = Callable[[Runtime], str]  # starts a container; what went wrong, or nothing


def choose(wanted: str | None, attempt: Try) -> Runtime:
    """The runtime asked for, else the first that works; raises UserError and HostError."""
    if wanted is not None:
        return named(wanted)
    tried = []
    for name in NAMES:
        tried.append(_remembered(name, attempt))
        if tried[-1].works and tried[-1].path is not None:
            return Runtime(name, tried[-1].path)
    raise HostError(f"no runtime of containers works here: {_told(tried)}", hint=_hint(tried))


def _told(tried: Sequence[Tried]) -> str:
    if not any(each.path for each in tried):
        return f"none of {', '.join(NAMES)} is installed"
    if len(complaints := {each.complaint for each in tried}) == 1:
        return complaints.pop()
    return "; ".join(f"{each.name}: {each.complaint}" for each in tried)


def _hint(tried: Sequence[Tried]) -> str:
    if any(each.path for each in tried) and rights.is_in_container():
        return rights.TO_ALLOW
    return "on Debian or Ubuntu: `apt-get install crun`; without `--contain` none is needed"


def named(name: str) -> Runtime:
    """The runtime of that name; raises UserError, and HostError where it is not installed."""
    if name not in NAMES:
        raise UserError(f"no runtime is called `{name}`", hint=f"one of: {', '.join(NAMES)}")
    path = _where(name)
    if path is None:
        from lamina.linux import process  # dear, and it says how the tool is had

        path = process.require(name)
    return Runtime(name, path)


def _where(name: str) -> Path | None:
    """Where a program lies on PATH or in the system's own folders."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    for folder in (*filter(None, folders), "/usr/sbin", "/sbin", "/usr/bin"):
        if os.access(f"{folder}/{name}", os.X_OK):
            return Path(folder, name)
    return None


def every(attempt: Try) -> list[Tried]:
    """All runtimes, and what came of a try just now, which is kept."""
    return [_remembered(name, attempt, anew=True) for name in NAMES]


def _remembered(name: str, attempt: Try, *, anew: bool = False) -> Tried:
    path = _where(name)
    if path is None:
        return Tried(name, None, "it is not installed")
    key, file = _key(path), Path(state.folder(), "runtimes.json")
    known = _known(file)
    if anew or key not in known:
        known.pop(key, None)
        known[key] = _complaint(attempt, Runtime(name, path))
        latest = dict(list(known.items())[-_MOST_KNOWN:])
        filesystem.write_atomic(file, json.dumps(latest).encode())
    return Tried(name, path, known[key])


def _complaint(attempt: Try, runtime: Runtime) -> str:
    try:
        return attempt(runtime)
    except LaminaError as error:
        return error.message


def _known(file: Path) -> dict[str, str]:
    """Answers of before; none where the machine was started since."""
    try:
        found = json.loads(file.read_bytes())
        return {str(key): str(value) for key, value in found.items() if key.startswith(_boot())}
    except (OSError, ValueError, AttributeError):
        return {}


def _key(path: Path) -> str:
    stat = path.stat()
    file = f"{path} {stat.st_size} {stat.st_mtime_ns} {stat.st_ino}"
    return f"{_boot()} {file} {os.geteuid()} {rights.context()}"


def _boot() -> str:
    return BOOT.read_text().strip()


def find_init() -> str:
    """A program that reaps what others leave and forwards signals, or nothing."""
    for name in INITS:
        for folder in ("/usr/bin", "/usr/libexec/podman", "/usr/local/bin", "/usr/sbin"):
            if os.access(f"{folder}/{name}", os.X_OK):
                return f"{folder}/{name}"
    return ""


def run_words(runtime: Runtime, bundle: Path, id_: str) -> list[str]:
    """The command that runs a bundle and waits for its end; of crun and runc."""
    words = [*_common(runtime, bundle), "run", "--bundle", str(bundle)]
    return [*words, id_]


def exec_words(
    runtime: Runtime,
    bundle: Path,
    id_: str,
    command: Sequence[str],
    *,
    user: str,
    terminal: bool,
) -> list[str]:
    """The command that starts one more program in a container; of crun and runc."""
    words = [*_common(runtime, bundle), "exec", "--user", user]
    if runtime.name == CRUN:
        words.append("--no-new-privs")  # it does not take that from the container
    return [*words, *(["--tty"] if terminal else []), id_, *command]


def _common(runtime: Runtime, bundle: Path) -> list[str]:
    words = [str(runtime.path), "--root", str(bundle / "runtime")]
    if runtime.name == CRUN:
        words.append("--cgroup-manager=disabled")  # lamina has made the group already
    return [*words, "--log", str(bundle / "log"), "--log-format", "json"]


def log_of(bundle: Path) -> str:
    """What the runtime complained of last, or nothing."""
    try:
        lines = (bundle / "log").read_text(errors="replace").splitlines()
    except OSError:
        return ""
    for line in reversed(lines):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("level") in ("error", "fatal"):
            return str(entry.get("msg", "")).strip()
    return ""
