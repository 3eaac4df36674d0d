"""Mount and run single XAR files, with the places, names and variables of xarexec_fuse.

So a XAR that one of the two has mounted is found mounted by the other:
`<root>/uid-<euid>/<UUID>-seed-<seed>-ns-<inode of the mount namespace>`, a lock file beside it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from lamina.core.errors import HostError, IntegrityError, UserError
from lamina.formats import xar
from lamina.linux import mountinfo, process
from lamina.linux.environment import reset_signals
from lamina.node import mounts

_ROOTS = (Path("/mnt/xarfuse"), Path("/dev/shm"))
_ROOT_MODE = 0o1777
_IDLE_SECONDS = 870  # until a mount that nobody uses ends itself
_OVERRIDE = Path("/var/lib/xarexec_timeout_override")
_CGROUP_ROOTS = (Path("/sys/fs/cgroup"), Path("/cgroup2"))


def header(path: Path) -> xar.Header:
    """What a XAR file says of itself; its image is checked to be there."""
    offset = mounts.offset(path)
    if offset == 0:
        raise IntegrityError(f"`{path}` is a bare image of a file system, not a XAR file")
    with path.open("rb") as file:
        return xar.decode(file.read(max(offset, xar.SIZE)))


def mount_point(described: xar.Header, environment: Mapping[str, str]) -> Path:
    """Where a XAR is or would be mounted; makes the user's folder there."""
    folder = _mount_root(described) / f"uid-{os.geteuid()}"
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o755)
    _check(folder, stat.S_IFDIR, 0o755)
    return folder / f"{described.uuid}{_seed(environment)}{_namespace()}"


def _mount_root(described: xar.Header) -> Path:
    if described.mount_root:
        root = Path(described.mount_root)
        if not _usable(root):
            raise HostError(
                f"the mount root `{root}` has not mode 1777",
                hint=f"this XAR names it; if it is for XAR files alone, {_make(root)}",
            )
        return root
    for root in _ROOTS:
        if _usable(root):
            return root
    raise HostError("no folder to mount XAR files below has mode 1777", hint=_make(_ROOTS[0]))


def _make(root: Path) -> str:
    return f"as root: `mkdir -p {root} && chmod 1777 {root}`"


def _usable(root: Path) -> bool:
    try:
        return stat.S_IMODE(root.stat().st_mode) == _ROOT_MODE
    except OSError:
        return False


def _seed(environment: Mapping[str, str]) -> str:
    """The part of the name that parts users of one XAR: what they ask for, or their cgroup."""
    seed = environment.get("XAR_MOUNT_SEED", "")
    if seed and "/" not in seed:
        return f"-seed-{seed}"
    try:
        space = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return ""
    group = cgroup_inode(Path("/proc/self/cgroup"))
    return f"-seed-nspid{space}" + ("" if group is None else f"_cgpid{group}")


def cgroup_inode(file: Path) -> int | None:
    """The inode of the first cgroup in a /proc/PID/cgroup file, or None where it is not found."""
    try:
        text = file.read_bytes()[:4096].decode(errors="surrogateescape")
    except OSError:
        return None
    fields = text.split(":")
    if len(fields) < 3 or len(text) >= 4096:
        return None
    name = fields[2].split("\n")[0].lstrip("/")
    for root in _CGROUP_ROOTS:
        with contextlib.suppress(OSError):
            return (root / name).stat().st_ino
    return None


def _namespace() -> str:
    try:
        return f"-ns-{Path('/proc/self/ns/mnt').stat().st_ino}"
    except OSError:
        return ""


def _check(path: Path, kind: int, mode: int) -> None:
    """HostError unless a path is ours, of that kind and mode: the root is open to everybody."""
    found = path.lstat()
    groups = {os.getegid(), *os.getgroups()}
    ours = found.st_uid == os.geteuid() and found.st_gid in groups
    if not ours or stat.S_IFMT(found.st_mode) != kind or stat.S_IMODE(found.st_mode) != mode:
        raise HostError(
            f"`{path}` should be yours with mode {mode:o}, and is not",
            hint="look who made it, and remove it",
        )


def mount(path: Path, environment: Mapping[str, str]) -> tuple[Path, bool]:
    """Mount a XAR unless it is mounted: its mount point, and whether the mount is new."""
    described = header(path)
    before = os.umask(0o022)
    try:
        where = mount_point(described, environment)
        with _locked(where.parent / f"lockfile.{where.name}") as lock:
            with contextlib.suppress(FileExistsError):  # `exist_ok` would ask a dead server
                where.mkdir(mode=0o755)
            new = not _is_mounted(where)
            if new:
                _check(where, stat.S_IFDIR, 0o755)
                _serve(path, described.offset, where, environment)
            os.utime(lock)  # upstream's cleaner takes its time as that of the last use
    finally:
        os.umask(before)
    return where, new


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[int]:
    lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _check(file, stat.S_IFREG, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
    finally:
        os.close(lock)


def _is_mounted(where: Path) -> bool:
    """Whether a server answers there; the mount of a dead one is taken away."""
    if where not in mountinfo.mount_points():
        return False
    try:
        os.statvfs(where)
    except OSError as error:
        if error.errno not in (errno.ENOTCONN, errno.ECONNABORTED):
            raise HostError(f"can not look at `{where}`: {error.strerror}") from error
        # Nothing can be read from it any more, by those neither who still have it open; they
        # alone make this lazy.
        process.run("fusermount3", "-z", "-q", "-u", "--", where)
        return False
    return True


def _serve(path: Path, offset: int, where: Path, environment: Mapping[str, str]) -> None:
    """Start squashfuse_ll, which comes back when the mount stands."""
    options = [f"offset={offset}"]
    if _visible_to_root():
        options.append("allow_root")
    seconds = idle_seconds(environment)
    idle = [f"timeout={seconds}"] if seconds else []
    image = path.absolute()
    try:
        process.run("squashfuse_ll", "-o", ",".join([*options, *idle]), image, where)
    except HostError as error:
        if not idle or "unknown option" not in error.message:
            raise
        # This squashfuse was built without idle time-outs: then the mount stays.
        process.run("squashfuse_ll", "-o", ",".join(options), image, where)
    if not _is_mounted(where):
        raise HostError(f"squashfuse_ll did not mount `{path}` at `{where}`")


def _visible_to_root() -> bool:
    try:
        return "user_allow_other" in Path("/etc/fuse.conf").read_text().split("\n")
    except OSError:
        return False


def idle_seconds(environment: Mapping[str, str]) -> int:
    """After how many seconds of no use a mount ends itself; 0 is never."""
    text = environment.get("XAR_MOUNT_TIMEOUT")
    if text is not None:
        return _leading_number(text) or 0
    with contextlib.suppress(OSError):
        number = _leading_number(_OVERRIDE.read_text())
        return _IDLE_SECONDS if number is None else number
    return _IDLE_SECONDS


def _leading_number(text: str) -> int | None:
    match = re.match(r"\s*([0-9]{1,9})", text)
    return int(match[1]) if match else None


def run(path: Path, args: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """Become the XAR's program: `/bin/sh -e TARGET XAR args...`."""
    variables = {**environment, "XAREXEC_LAUNCH_TIMESTAMP": f"{time.time():.6f}"}
    target = need_target(path)
    where, new = mount(path, environment)
    if not (where / target).exists():  # its idle time may have ended just now
        where, new = mount(path, environment)
    if new:
        variables["XARFUSE_NEW_MOUNT"] = "1"
    script = where / target
    _hold_open(script)
    reset_signals()
    os.execve("/bin/sh", ["/bin/sh", "-e", str(script), str(path), *args], variables)


def _hold_open(script: Path) -> None:
    """Open a file for the exec'd program too: its mount is then not idle before sh reads it."""
    try:
        os.set_inheritable(os.open(script, os.O_RDONLY), True)
    except OSError as error:
        raise UserError(f"can not open the target `{script}`: {error.strerror}") from error


def need_target(path: Path) -> str:
    """The script in a XAR that it names to be run; UserError if it names none."""
    target = header(path).target
    if not target:
        raise UserError(
            f"`{path}` has no XAREXEC_TARGET, so there is nothing to run",
            hint="`xarexec -m` mounts it",
        )
    if target.startswith("/") or ".." in target.split("/"):
        raise IntegrityError(f"`{path}`: its XAREXEC_TARGET lies outside of it: {target!r:.80}")
    return target
