"""The one door through which programs start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lamina.core.errors import HostError

# The Debian package that brings each tool lamina may start.
DEBIAN_PACKAGE = {
    "ar": "binutils",
    "bwrap": "bubblewrap",
    "cmake": "cmake",
    "crun": "crun",
    "fsck.erofs": "erofs-utils",
    "fusermount3": "fuse3",
    "g++": "g++",
    "gcc": "gcc",
    "git": "git",
    "hg": "mercurial",
    "ld": "binutils",
    "make": "make",
    "mkfs.erofs": "erofs-utils",
    "mksquashfs": "squashfs-tools",
    "patch": "patch",
    "python3": "python3",
    "runc": "runc",
    "squashfuse": "squashfuse",
    "squashfuse_ll": "squashfuse",
    "unsquashfs": "squashfs-tools",
    "zstd": "zstd",
}
TOO_MANY = "raise the limit of the user (`ulimit -u`) or of the control group (`pids.max`)"


def find(tool: str) -> Path | None:
    """Where a tool lies on PATH (or in the system's sbin folders), or None."""
    # `shutil.which` brings half a dozen modules.
    for place in [tool] if "/" in tool else [f"{folder}/{tool}" for folder in _folders()]:
        if os.access(place, os.X_OK) and os.path.isfile(place):  # noqa: PTH113 - pathlib is dear
            return Path(place)
    return None


def candidates(tool: str, found: Path) -> list[str]:
    """Where a tool is looked for, up to where it was found: what decides which one it is."""
    places = [str(found)] if "/" in tool else [f"{folder}/{tool}" for folder in _folders()]
    return places[: places.index(str(found)) + 1] if str(found) in places else [str(found)]


def _folders() -> list[str]:
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    # An empty entry would mean the current folder: nothing there is a tool of lamina's.
    return [*filter(None, path), "/usr/local/sbin", "/usr/sbin", "/sbin"]


def beside_python(tool: str) -> Path | None:
    """Where a tool lies that was installed with this program's own interpreter, or None."""
    found = Path(sys.executable).with_name(tool)
    return found if os.access(found, os.X_OK) else None


def system_python() -> str:
    """The distribution's interpreter where there is one: it is on the nodes too, a shim is not."""
    return "/usr/bin/python3" if Path("/usr/bin/python3").exists() else "python3"


def require(tool: str) -> Path:
    """Where a tool lies; raises HostError naming the Debian package that brings it."""
    found = find(tool)
    if found is None:
        package = DEBIAN_PACKAGE.get(tool)
        hint = f"on Debian or Ubuntu: `apt-get install {package}`" if package else "see `PATH`"
        raise HostError(f"the tool `{tool}` is not on this machine", hint=hint)
    return found


def install(extra: str) -> str:
    """The command that brings what an extra of lamina's own distribution names.

    lamina may lie in an environment of its own, of which no `pip` on PATH knows.
    """
    return f"{sys.executable} -m pip install 'lamina[{extra}]'"


def run(
    tool: str | Path,
    *args: str | Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    input: bytes | None = None,  # noqa: A002 - the standard library's own name
    ok: Sequence[int] = (0,),
    bound: bool = False,
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end with its output captured.

    A `bound` one is killed when this process, which must have one thread, is.

    A bare name is looked up with `require`. Raises HostError, with the program's own last
    words, when it ends with a code that is not in `ok`.
    """
    program = tool if isinstance(tool, Path) else require(tool)
    done = subprocess.run(
        [os.fspath(program), *(os.fspath(arg) for arg in args)],
        cwd=cwd,
        env=env,
        input=input,
        stdin=subprocess.DEVNULL if input is None else None,
        capture_output=True,
        check=False,
        preexec_fn=_binding() if bound else None,
    )
    if done.returncode not in ok:
        words = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise HostError(f"`{program.name}` failed with exit code {done.returncode}: {words}")
    return done


def _binding() -> Callable[[], None]:
    """What a forked child calls to share this process's end."""
    from lamina.linux import syscalls  # ctypes is dear

    parent = os.getpid()

    def bind() -> None:
        syscalls.die_with_parent(signal.SIGKILL)
        if os.getppid() != parent:  # it died before the call above could tell of it
            os._exit(1)

    return bind


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
    stdout: int | None = None,
    stderr: int | None = None,
    pass_fds: Sequence[int] = (),
    bound: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own and return at once; the caller waits for it.

    A `bound` one is killed when this process, which must have one thread, is.
    A session of its own keeps the terminal's Ctrl-C from it: lamina ends its children itself.
    """
    return subprocess.Popen(
        argv,
        env=env,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        pass_fds=pass_fds,
        start_new_session=True,
        preexec_fn=_binding() if bound else None,
    )
