"""Has packages of large layers laid out as folders (`laid`) beside the jobs that use them.

    lamina (later the program)
      .. python -m lamina.node.laying STORE IMAGE...   an orphan: runs when nothing else wants to

One such process works in a store at a time. Nothing waits for it, and nothing needs it: where it
is killed, or there is no room, layers stay what they are. What goes wrong stands in the file that
is its lock, which is empty where it has ended well; else it is not begun again for a while: a
scheduler ends it with each short job. Nothing dear is imported before it runs.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence

from lamina.linux import group

TYPE_CHECKING = False  # `typing` is dear
if TYPE_CHECKING:
    from pathlib import Path

VARIABLE = "LAMINA_UNPACK"
LEAST = 1 << 20  # bytes of a layer from which on its package is worth folders
AMONG = 1 << 14  # bytes from which on its other layers are, where they are mounted alone
_SELF = "lamina.node.laying"
_LOCK = "laying"
_UNFINISHED = b"it was not finished\n"
_PAUSE = 600  # seconds from one that was not finished to the next; see launcher/main.c, too
_SETGID = 0o2000
_ROOM = 4  # times its image that a layer may take as files, about
_SPARE = 10  # one part in so many of the disk is left free
# File systems of disks, that overlayfs takes as lower ones: ext4, XFS, btrfs, F2FS, bcachefs.
_DISKS = (0xEF53, 0x58465342, 0x9123683E, 0xF2F52010, 0xCA451A4E)


def may_lie_on(store: str) -> bool:
    """Whether folders of a store can be layers: not where it lies in memory, or far away.

    Nor where a group shares it: its members could not remove each other's.
    """
    from lamina.linux import syscalls

    try:
        shared = os.stat(store).st_mode & _SETGID
        return not shared and syscalls.file_system_kind(store) in _DISKS
    except OSError:
        return False


def begin(store: str, images: Sequence[str]) -> None:
    """Have images of a store laid out by a process of its own, unless one is at work there.

    The caller has one thread. It does not wait, and is not told what becomes of it.
    """
    try:
        # What it takes of a job's memory could end that.
        if group.memory_is_scarce() or not _has_room(store, images):
            return
        lock = _locked(f"{store}/{_LOCK}")
    except OSError:  # somebody else's store
        return
    if lock is None:
        return
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            if os.fork() == 0:
                _become(store, images, lock)
        finally:
            os._exit(0)
    os.close(lock)
    os.waitpid(child, 0)


def consider(
    images: Sequence[Path], folder: Path, driver: str | None, *, begun: float, base: int = 0
) -> list[Path] | None:
    """Before a start: have a package laid out, if large layers of it were here before it had begun.

    `images` are its layers, `base` of them those of a base image, `folder` is the store, `driver`
    what was asked for, the time is in seconds since the epoch. If the environment wants it always,
    it is done at once. What is to be mounted, where it had to find that out. Raises UserError, and
    what merging raises.
    """
    if not any((of := path.stat()).st_size >= LEAST and of.st_mtime < begun for path in images):
        return None
    from lamina.node import laid

    at_once = laid.way(os.environ) == laid.ALWAYS
    if not at_once and group.memory_is_scarce():
        return None
    mounted = laid.mounted(images, driver, base)
    found = [each.image for each in laid.candidates(mounted, folder)]
    if at_once:
        for image in found:
            laid.lay_out(image, folder)
        return None
    if found:
        begin(os.fspath(folder), [os.fspath(image) for image in found])
    return mounted


def _has_room(store: str, images: Sequence[str]) -> bool:
    found = os.statvfs(store)
    wanted = sum(os.stat(image).st_size for image in images) * _ROOM
    free = found.f_bavail - found.f_blocks // _SPARE
    return free * found.f_frsize > wanted and found.f_favail > 0


def _locked(path: str) -> int | None:
    import fcntl

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    found = os.fstat(descriptor)
    if found.st_size and 0 <= time.time() - found.st_mtime < _PAUSE:
        os.close(descriptor)
        return None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, _UNFINISHED)
    return descriptor


def _become(store: str, images: Sequence[str], lock: int) -> None:
    """Let go of all that is the caller's but the lock, which ends with the new program."""
    import fcntl

    null, lock = (
        fcntl.fcntl(each, fcntl.F_DUPFD, 3) for each in (os.open("/dev/null", os.O_RDWR), lock)
    )
    for standard, target in enumerate((null, null, lock)):
        os.dup2(target, standard)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir("/")
    os.execv(sys.executable, [sys.executable, "-P", "-m", _SELF, store, *images])


def main(store: str, images: Sequence[str]) -> None:
    """Lay images out one by one, as long as there is room."""
    os.setpriority(os.PRIO_PROCESS, 0, 19)
    group.write(
        "/proc/self/oom_score_adj", "1000"
    )  # where memory runs out, this is what goes first
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    import contextlib
    from pathlib import Path

    from lamina.core.digest import Digest
    from lamina.node import laid, remember
    from lamina.store import leases
    from lamina.store.local import LocalStore

    folder = Path(store)
    for image in map(Path, images):
        members = [Digest(each, 0) for each in laid.members(image, folder)]
        with leases.leased(folder, members):
            if not image.exists():
                continue
            if not _fits(image, folder):
                sys.stderr.write(f"there is no room for the files of {image}\n")
                continue
            laid.lay_out(image, folder)
    with contextlib.closing(LocalStore(folder)) as opened:
        remember.renew(opened)
    _end_well(folder / _LOCK)


def _end_well(path: Path) -> None:
    """Leave in the lock what went wrong, alone."""
    import contextlib

    # Who runs this by hand has no lock.
    with contextlib.suppress(FileNotFoundError), path.open("r+b") as lock:
        said = lock.read().removeprefix(_UNFINISHED)
        lock.truncate(lock.seek(0))
        lock.write(said)


def _fits(image: Path, folder: Path) -> bool:
    """Whether there is room for a layer's files, within the bounds that the environment sets."""
    import contextlib

    from lamina.linux import filesystem
    from lamina.node import laid, lay
    from lamina.store import gc
    from lamina.store.local import LocalStore

    with contextlib.closing(LocalStore(folder)) as store:
        bounds = gc.bounds_of(os.environ)
        wanted = laid.size(lay.seen(image, store)[1])
        used = 0 if bounds.most is None else sum(each.size for each in gc.usage(store))
        return bounds.excess(used + wanted, filesystem.room(store.folder) - wanted) == 0


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
