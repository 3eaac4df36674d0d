"""Files that appear whole or not at all, locks between processes, and cheap copies.

What is made in a folder that a group shares (setgid, and its group may write) is the group's too,
whatever the umask: folders, and files that are written in place.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

from lamina.core.digest import SMALL, Digest
from lamina.linux.identity import Identity as Identity
from lamina.linux.identity import identity as identity

_FICLONE = 0x40049409  # linux/fs.h: share the extents of another file

# A file written twice within one tick of the kernel's clock may keep its time stamp, so one that
# changed less than this before it was read is read again the next time.
_SETTLED = 50_000_000  # nanoseconds


def settled(known: Identity, when: int) -> bool:
    """Whether a file with this identity had not been touched shortly before `when` (ns)."""
    return max(known[1], known[3]) < when - _SETTLED


def write_atomic(
    path: Path,
    data: bytes,
    *,
    mode: int = 0o644,
    durable: bool = False,
    scratch: Path | None = None,
) -> None:
    """Write a file so that a reader sees all of it or nothing of it.

    `durable` also survives a power cut: the file and its folder are synced. `scratch` is a folder
    of the same file system for the temporary name, one that is cleared after a kill; without it,
    a kill may leave that name beside the file.
    """
    temporary = fresh_name(scratch or path.parent)
    try:
        try:
            write_new(temporary, data, mode, durable=durable)
        except FileNotFoundError:
            make_folder(path.parent)
            write_new(temporary, data, mode, durable=durable)
        move(temporary, str(path))
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


_process = os.urandom(4).hex()
_numbers = itertools.count()


def fresh_name(folder: Path | str) -> str:
    """A name in a folder that no other file has had."""
    # The process id parts those that were forked, the rest machines that share a file system.
    return f"{folder}/.new-{os.getpid()}-{_process}-{next(_numbers)}"


def write_new(path: str, data: bytes, mode: int, *, durable: bool = False) -> None:
    """Write a file that is not there yet, in the fewest system calls."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        written = os.write(descriptor, data)
        while written < len(data):
            written += os.write(descriptor, memoryview(data)[written:])
        os.fchmod(descriptor, mode)  # whatever the umask
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def move(source: str, target: str) -> None:
    """Rename a file, replacing what is there; the folder is made where there is none."""
    try:
        os.rename(source, target)  # noqa: PTH104 - a Path takes as long to make as the call
    except FileNotFoundError:
        make_folder(Path(target).parent)
        Path(source).rename(target)


def make_folder(folder: Path, tries: int = 8) -> None:
    """Make a folder where there is none, with all above it.

    Others may remove folders in between; in some, as in `/proc`, the kernel never makes one.
    """
    try:
        if not folder.is_dir():
            with _open_to_group(folder.parent):
                folder.mkdir()
    except FileExistsError:
        if not folder.is_dir():
            raise
    except FileNotFoundError:
        if tries == 1:
            raise
        make_folder(folder.parent, tries)
        make_folder(folder, tries - 1)


def open_shared(path: Path, flags: int = 0) -> int:
    """Open a file that many write to, and make it where there is none; the descriptor."""
    flags |= os.O_RDWR | os.O_CLOEXEC
    if not flags & os.O_EXCL:
        with contextlib.suppress(FileNotFoundError):
            return os.open(path, flags)
    with _open_to_group(path.parent):
        return os.open(path, flags | os.O_CREAT, 0o666)


_umask_lock = threading.Lock()


@contextlib.contextmanager
def _open_to_group(folder: Path) -> Iterator[None]:
    """Make something in a folder, which is the group's from its first instant if the folder is."""
    mode = folder.stat().st_mode
    if not (mode & stat.S_ISGID and mode & stat.S_IWGRP):
        yield
        return
    # It is one for all threads. What they make meanwhile the group may write too: no harm there.
    with _umask_lock:
        before = os.umask(0o007)
        os.umask(before & ~0o070)
        try:
            yield
        finally:
            os.umask(before)


def read_small(path: str, limit: int) -> tuple[bytes | None, Identity]:
    """The bytes of a file, or None where it has more than `limit`; and what it was when read."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.read(descriptor, limit + 1)
        # Less than all may come at once from a file system in user space.
        while data and len(data) <= limit and (more := os.read(descriptor, limit + 1 - len(data))):
            data += more
        return data if len(data) <= limit else None, identity(os.fstat(descriptor))
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """A fresh name in the folder of `path`, removed at the end unless it was renamed away."""
    make_folder(path.parent)
    temporary = Path(fresh_name(path.parent))
    os.close(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def sync_file(path: Path) -> None:
    """Make what a file holds survive a power cut."""
    _sync(path, os.O_RDONLY)


def sync_folder(folder: Path) -> None:
    """Make the renames within a folder survive a power cut."""
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def clone_or_copy(source: Path, target: Path, mode: int) -> None:
    """Copy a file's bytes, sharing its extents where the file system can; a hole stays one."""
    with source.open("rb") as reader, target.open("xb") as writer:
        if not _is_cloned(reader.fileno(), writer.fileno()):
            _copy(reader.fileno(), writer.fileno())
        os.fchmod(writer.fileno(), mode)


def _is_cloned(reader: int, writer: int) -> bool:
    try:
        fcntl.ioctl(writer, _FICLONE, reader)
    except OSError:
        return False
    return True


def _copy(reader: int, writer: int) -> None:
    size = os.fstat(reader).st_size
    end = 0
    while end < size:
        try:
            begin = os.lseek(reader, end, os.SEEK_DATA)
            end = os.lseek(reader, begin, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole is left
                break
            begin, end = end, size  # this file system does not tell of holes
        if copy_range(reader, begin, end - begin, writer, begin) < end - begin:
            break  # it has become shorter meanwhile
    os.ftruncate(writer, size)


def cloned(source: Path, target: Path, mode: int) -> bool:
    """Make a file that shares the extents of another, where the file system can do that."""
    if source.parent.stat().st_dev in _without_clones:
        return False
    with source.open("rb") as reader, target.open("xb") as writer:
        done = _is_cloned(reader.fileno(), writer.fileno())
        os.fchmod(writer.fileno(), mode)
    if not done:
        _without_clones.add(source.parent.stat().st_dev)
        target.unlink()
    return done


_without_clones: set[int] = set()  # devices on which it was tried in vain


def link_or_copy(source: Path, target: Path, mode: int) -> None:
    """Give a file a second name, or copy it where it cannot have one (other device, link limit)."""
    try:
        os.link(source, target)
    except OSError:
        clone_or_copy(source, target, mode)


@contextlib.contextmanager
def locked(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold a lock file, which is never removed, so that all who wait for it wait for one inode."""
    make_folder(path.parent)
    descriptor = open_shared(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Take an exclusive lock on an open file at once, or tell that another holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock(descriptor: int) -> None:
    """Take an exclusive lock on an open file, as soon as no other holds it."""
    fcntl.flock(descriptor, fcntl.LOCK_EX)


def is_full(error: BaseException | None) -> bool:
    """Whether it was for want of space that something could not be written."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def room(folder: Path) -> int:
    """The bytes that may still be written to the file system of a folder."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def copy_range(source: int, begin: int, size: int, target: int, place: int) -> int:
    """Copy bytes between open files, sharing them where that can be; how many there were."""
    left = size
    while left > 0:
        try:
            done = os.copy_file_range(source, target, left, begin, place)
        except (AttributeError, OSError) as error:
            # Other systems have no such call, and some file systems or pairs of them refuse it.
            if getattr(error, "errno", errno.ENOSYS) not in _NOT_AT_ONCE:
                raise
            data = os.pread(source, min(left, 1 << 20), begin)
            done = os.pwrite(target, data, place) if data else 0
        if not done:
            break
        begin, place, left = begin + done, place + done, left - done
    return size - left


_NOT_AT_ONCE = (errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM)


def sha256(path: Path) -> str:
    """The sha256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size <= SMALL:
            return Digest.of(file.read()).hash
        import hashlib  # dear: it brings OpenSSL

        return hashlib.file_digest(file, "sha256").hexdigest()


def remove_tree(folder: Path) -> None:
    """Remove a folder and all in it, also where its folders were made read-only."""
    if folder.is_symlink():
        folder.unlink()  # what it leads to is somebody else's
    if not folder.is_dir():
        return
    with contextlib.suppress(OSError):
        folder.rmdir()
        return
    import shutil  # dear, and most are empty

    for parent, _, _ in os.walk(folder):
        Path(parent).chmod(0o700)
    shutil.rmtree(folder)
