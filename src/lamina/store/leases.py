"""Leases: which blobs must stay, because somebody pulls them, mounts them, or runs what is in them.

A lease is a file in `leases/` that its owner keeps locked, with a line for each blob (its hash) or
for a package as a whole (`package <hash of its manifest>`). One that is called like a package is
for that, and empty: so what is here can be run from a full disk too. A lease ends with the last
process that has the file open: also a program that took the owner's place, whatever kills it. One
with a line `mount <folder>` lasts as long as something is mounted there. Leases are made under a
shared lock, and blobs removed under an exclusive one (`gc`): so what was there when its lease was
made stays.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from lamina.core.digest import Digest
from lamina.linux import filesystem
from lamina.store.claim import FOLDER as FOLDER
from lamina.store.claim import LOCK as LOCK
from lamina.store.claim import USED as USED

_PACKAGE, _MOUNT = "package ", "mount "
_HASH = 64  # hexadecimal digits


class Lease:
    """Blobs that stay as long as this is open."""

    def __init__(self, folder: Path, descriptor: int, own: Path | None = None) -> None:
        """`own` is its file, where nobody else has a lease by that."""
        self._folder = folder
        self._descriptor = descriptor
        self._own = own

    def add(self, digests: Iterable[Digest]) -> None:
        """Let more blobs stay: from now on those that are here."""
        self._add("".join(f"{digest.hash}\n" for digest in digests))

    def add_content(self, manifests: Iterable[Digest]) -> None:
        """Let what some manifests name stay with them, as far as they are here."""
        self._add("".join(f"{_PACKAGE}{digest.hash}\n" for digest in manifests))

    def _add(self, text: str) -> None:
        with filesystem.locked(self._folder / LOCK, shared=True):
            _write(self._descriptor, text.encode())

    def hand_on(self) -> None:
        """Let it end with the program that takes the place of this process, and its children."""
        os.set_inheritable(self._descriptor, True)

    def end(self) -> None:
        """Let the blobs go."""
        if self._own is not None:
            self._own.unlink(missing_ok=True)
        os.close(self._descriptor)


def lease_package(store: Path, package: Digest, mount: Path | None = None) -> Lease:
    """A lease on a package with its layers, and note that it is used now.

    With `mount`, for as long as something is mounted there. Whether its layers are here is to be
    asked after that. Raises OSError for a store that cannot be written: nobody can remove anything
    from it either.
    """
    filesystem.make_folder(store / FOLDER)
    # All who run a package share one file: a file for each start would stay when that is killed.
    path = store / FOLDER / (package.hash if mount is None else f"{package.hash}-{_key(mount)}")
    text = "" if mount is None else f"{_PACKAGE}{package.hash}\n{_MOUNT}{mount}\n"
    with filesystem.locked(store / LOCK, shared=True):
        descriptor = filesystem.open_shared(path)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        if os.fstat(descriptor).st_size != len(text.encode()):
            _write(descriptor, text.encode())
    _use(store, package)
    return Lease(store, descriptor)


def _if_writable(store: Path, package: Digest, mount: Path | None = None) -> Lease | None:
    """A lease, where the store can be written: else nobody can remove anything from it."""
    try:
        return lease_package(store, package, mount)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise
        return None


@contextlib.contextmanager
def running(store: Path, package: Digest) -> Iterator[None]:
    """Lease a package for the program that takes the place of this process in a block.

    The lease ends with the block too, where the program could not be started.
    """
    lease = _if_writable(store, package)
    if lease is not None:
        lease.hand_on()
    try:
        yield
    finally:
        if lease is not None:
            lease.end()


def mounted(store: Path, package: Digest, where: Path) -> None:
    """Lease a package for as long as something is mounted there."""
    lease = _if_writable(store, package, where)
    if lease is not None:
        lease.end()


def _key(mount: Path) -> str:
    return Digest.of(str(mount).encode()).short


def _lease(store: Path, digests: Iterable[Digest]) -> Lease:
    folder = store / FOLDER
    filesystem.make_folder(folder)
    path = Path(filesystem.fresh_name(folder))
    with filesystem.locked(store / LOCK, shared=True):
        descriptor = filesystem.open_shared(path, os.O_EXCL)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        found = Lease(store, descriptor, path)
        try:
            _write(descriptor, "".join(f"{digest.hash}\n" for digest in digests).encode())
        except OSError:
            found.end()
            raise
    return found


def _use(store: Path, package: Digest) -> None:
    path = store / USED / package.hash
    try:
        os.utime(path)
    except FileNotFoundError:
        filesystem.make_folder(path.parent)
        os.close(filesystem.open_shared(path))


def used(store: Path) -> dict[str, float]:
    """When packages were last started, by the hash of their manifest."""
    found = {}
    with contextlib.suppress(FileNotFoundError), os.scandir(store / USED) as entries:
        for entry in entries:
            found[entry.name] = entry.stat().st_mtime
    return found


@contextlib.contextmanager
def leased(store: Path, digests: Iterable[Digest] = ()) -> Iterator[Lease]:
    """A lease for the time of a block."""
    found = _lease(store, digests)
    try:
        yield found
    finally:
        found.end()


@contextlib.contextmanager
def leased_package(store: Path, package: Digest) -> Iterator[None]:
    """A lease on a package with its layers for the time of a block."""
    lease = _if_writable(store, package)
    try:
        yield
    finally:
        if lease is not None:
            lease.end()


def held(store: Path) -> tuple[set[str], set[str]]:
    """The hashes of the blobs, and of the packages, on which there are leases.

    Those that have ended are removed. To be called under the exclusive lock.
    """
    blobs: set[str] = set()
    found: set[str] = set()
    with contextlib.suppress(FileNotFoundError):
        for path in list((store / FOLDER).iterdir()):
            for line in _lines(path):
                if line.startswith(_PACKAGE):
                    found.add(line.removeprefix(_PACKAGE))
                elif not line.startswith(_MOUNT):
                    blobs.add(line)
    return blobs, found


def _lines(path: Path) -> list[str]:
    """What a lease tells; nothing where its owner is gone."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return []
    try:
        lines = (
            os.read(descriptor, os.fstat(descriptor).st_size).decode(errors="replace").split("\n")
        )
        if len(path.name) == _HASH:
            lines.append(f"{_PACKAGE}{path.name}")
        mounts = (line.removeprefix(_MOUNT) for line in lines if line.startswith(_MOUNT))
        if not filesystem.try_lock(descriptor) or any(map(os.path.ismount, mounts)):
            return [line for line in lines if line]
        path.unlink(missing_ok=True)
        return []
    finally:
        os.close(descriptor)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
