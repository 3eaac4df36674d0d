"""Keeps a store within its bounds: what was used least recently goes first, never what is in use.

A blob was last used when it was written or read, as its time stamps tell, or when a package that
holds it was last started. Kept are the blobs of pinned packages and those on which there is a lease
(`leases`). Everything in a store can be made or fetched again; what is removed costs that.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from lamina.core import quantity
from lamina.core.classes import dataclass, replace
from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError
from lamina.formats import oci
from lamina.linux import filesystem
from lamina.store import derived, leases, partial, starts, whole
from lamina.store.local import LocalStore
from lamina.store.trust import signatures

PINS = "pins"
_KINDS = ("blobs", "executables", "images", *derived.KINDS)  # whose entries may go one by one
_BATCH = 64  # files removed while nobody can make a lease
_AHEAD = 86_400.0  # seconds that the clock of who serves the files may be ahead of ours
_ERA = 1e12  # seconds, more than any clock tells
_ABANDONED = 3600.0  # seconds after which the begin of a blob is one that nobody goes on with


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much room a store may take."""

    most: int | None = None  # bytes of all that may be removed
    free: int = 0  # bytes that are to be free on its file system

    def excess(self, used: int, free: int) -> int:
        """The bytes that are too many."""
        over = 0 if self.most is None else used - self.most
        return max(over, self.free - free, 0)


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep has done."""

    removed: int  # files
    freed: int  # bytes
    used: int  # bytes that are left
    excess: int  # bytes that are still too many, because what is left is in use


@dataclass(frozen=True, slots=True)
class _Piece:
    """A file that may go."""

    path: str
    size: int  # bytes on the disk
    stamp: float  # the later of the file's times, in seconds since the epoch
    used: float  # when last; what counts is the order
    is_derived: bool = False

    @property
    def hash(self) -> str:
        parts = self.path.split("/")
        return parts[-2] + parts[-1]


def sweep(store: LocalStore, bounds: Bounds) -> Swept:
    """Remove what was used least recently, until the store is within its bounds.

    What killed processes have left goes in any case.
    """
    store.sweep_scratch()
    freed = partial.sweep(store.folder / partial.FOLDER, _ABANDONED)
    with filesystem.locked(store.folder / leases.LOCK):
        leases.held(store.folder)
    pieces = sorted(_pieces(store), key=lambda piece: piece.used)
    used = sum(piece.size for piece in pieces)
    excess = bounds.excess(used, filesystem.room(store.folder))
    removed = 0
    begin = 0
    while excess > 0 and begin < len(pieces):
        batch = pieces[begin : begin + _BATCH]
        begin += _BATCH
        with filesystem.locked(store.folder / leases.LOCK):
            whole.removing(store.folder)
            kept = _kept(store)
            for piece in batch:
                if excess <= 0:
                    break
                if _is_kept(piece, kept, store) or not _is_removed(piece, store):
                    continue
                _forget(store, piece.hash)
                removed += 1
                freed += piece.size
                used -= piece.size
                excess -= piece.size
    starts.sweep(os.fspath(store.folder), lambda name: store.find(name) is not None)
    for path in signatures.orphans(store):
        filesystem.remove_tree(path)
    return Swept(removed, freed, used, max(excess, 0))


def _is_kept(piece: _Piece, kept: set[str], store: LocalStore) -> bool:
    """Whether it must stay: what is made of blobs does where all of these do."""
    if not piece.is_derived:
        return piece.hash in kept
    members = derived.members(piece.hash, store.folder)
    return bool(members) and members <= kept


def _forget(store: LocalStore, name: str) -> None:
    """Remove what was noted of a blob, or of what was made of some."""
    (store.folder / "verified" / name[:2] / name[2:]).unlink(missing_ok=True)
    (store.folder / leases.USED / name).unlink(missing_ok=True)
    derived.forget(name, store.folder)


def _is_removed(piece: _Piece, store: LocalStore) -> bool:
    try:
        # It may have been used, or made anew, since it was looked at.
        if piece.is_derived:
            if derived.last_use(piece.hash, store.folder) != piece.stamp:
                return False
            derived.remove(Path(piece.path), store)
        elif _stamp(os.stat(piece.path)) != piece.stamp:
            return False
        else:
            Path(piece.path).unlink()
    except FileNotFoundError:
        return False
    return True


def _pieces(store: LocalStore) -> Iterator[_Piece]:
    now = time.time()
    started = _started(store, now)
    for kind in _KINDS:
        for status, path in _files(store.folder / kind):
            if kind not in derived.KINDS:
                used = max(_order(status.st_mtime, now), _order(status.st_atime, now))
                found = _Piece(path, status.st_blocks * 512, _stamp(status), used)
                last = started.get(found.hash, found.used)
                yield found if last <= found.used else replace(found, used=last)
            elif len(name := "".join(path.split("/")[-2:])) == _DIGITS:  # else it is a lock
                stamp = derived.last_use(name, store.folder)
                size = status.st_blocks * 512 + _inside(path)
                yield _Piece(path, size, stamp, _order(stamp, now), is_derived=True)


_DIGITS = 64  # of a hash


def _inside(folder: str) -> int:
    """The bytes of what is in a folder, each file by the part that is this name's of it."""
    size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                found = os.lstat(f"{parent}/{name}")
                size += found.st_blocks * 512 // found.st_nlink
    return size


def _stamp(status: os.stat_result) -> float:
    return max(status.st_mtime, status.st_atime)


def _order(when: float, now: float) -> float:
    """A number that is larger for what was used later.

    What is still to come was before the clock went back: so before all that was since.
    """
    return when if when < now + _AHEAD else when - _ERA


def _files(folder: Path) -> Iterator[tuple[os.stat_result, str]]:
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as parents:
        for parent in parents:
            with os.scandir(parent.path) as found:
                for entry in found:
                    with contextlib.suppress(FileNotFoundError):
                        yield entry.stat(follow_symlinks=False), entry.path


def _started(store: LocalStore, now: float) -> dict[str, float]:
    """When the blobs of packages were last used, in order, by their hash."""
    found: dict[str, float] = {}
    for package, when in leases.used(store.folder).items():
        last = _order(when, now)
        for name in _content_of(store, package):
            found[name] = max(found.get(name, last), last)
    return found


def _kept(store: LocalStore) -> set[str]:
    """The hashes of what must stay."""
    blobs, held = leases.held(store.folder)
    for name in held | pins(store):
        blobs |= _content_of(store, name)
    return blobs


def _content_of(store: LocalStore, hexadecimal: str) -> set[str]:
    digest = store.find(hexadecimal)
    return {hexadecimal} if digest is None else _content(store, digest)


def _content(store: LocalStore, root: Digest) -> set[str]:
    """The hashes of all blobs of a package that are known here."""
    found = {root.hash}
    with contextlib.suppress(IntegrityError):  # it is not here as a whole; what is, is known
        for kind, child in oci.children(store.read(root)):
            found.add(child.hash)
            if kind in (oci.MANIFEST, oci.INDEX):
                found |= _content(store, child)
    return found


def pins(store: LocalStore) -> set[str]:
    """The hashes of the manifests of pinned packages."""
    try:
        return {path.name for path in (store.folder / PINS).iterdir()}
    except FileNotFoundError:
        return set()


def pin(store: LocalStore, package: Digest, name: str) -> None:
    """Keep a package, whatever the bounds are."""
    path = store.folder / PINS / package.hash
    filesystem.write_atomic(path, f"{name}\n".encode(), scratch=store.scratch)


def unpin(store: LocalStore, package: Digest) -> bool:
    """Let a package go when its time comes; whether it was pinned."""
    path = store.folder / PINS / package.hash
    was = path.exists()
    path.unlink(missing_ok=True)
    return was


@dataclass(frozen=True, slots=True)
class Usage:
    """The room that one kind of content takes."""

    kind: str
    files: int
    size: int  # bytes on the disk


def usage(store: LocalStore) -> list[Usage]:
    """What takes room in a store."""
    found = []
    for kind in (*_KINDS, "actions", "cells", "workspaces", "partial"):
        files = size = 0
        for parent, _, names in os.walk(store.folder / kind):
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    size += os.lstat(f"{parent}/{name}").st_blocks * 512
                    files += 1
        found.append(Usage(kind, files, size))
    return found


@dataclass(frozen=True, slots=True)
class Verified:
    """What a reading of all blobs has found."""

    blobs: int
    size: int  # bytes
    wrong: tuple[str, ...]  # hashes of what is not what it is called; it is gone if it may be


def verify(store: LocalStore) -> Verified:
    """Compare every blob with its name, and images made of blobs with what they were when made.

    What is wrong is removed.
    """
    count = size = 0
    wrong: list[str] = []
    for kind in ("blobs", "executables"):
        for status, path in _files(store.folder / kind):
            parts = path.split("/")
            name = parts[-2] + parts[-1]
            count, size = count + 1, size + status.st_size
            if not _is_right(Path(path), name):
                wrong.append(name)
                store.drop(Path(path))
    for status, path in _files(store.folder / derived.MERGED):
        name = "".join(path.split("/")[-2:])
        if content := derived.content(name, store.folder):
            count, size = count + 1, size + status.st_size
            if not _is_right(Path(path), content):
                wrong.append(name)
                derived.remove(Path(path), store)
                derived.forget(name, store.folder)
    return Verified(count, size, tuple(dict.fromkeys(wrong)))


def _is_right(path: Path, name: str) -> bool:
    import hashlib

    try:
        # Who reads all does not use it.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | _unnoticed(path))
        with open(descriptor, "rb") as file:  # noqa: PTH123 - it is open
            return hashlib.file_digest(file, "sha256").hexdigest() == name
    except FileNotFoundError:
        return True  # it went meanwhile
    except OSError:
        return False  # it cannot be read


def _unnoticed(path: Path) -> int:
    """The flag that leaves the time of the last reading alone, where this user may say so."""
    return os.O_NOATIME if os.geteuid() in (0, path.stat().st_uid) else 0


def bounds_of(words: Mapping[str, str]) -> Bounds:
    """The bounds that an environment sets: LAMINA_CACHE_SIZE and LAMINA_CACHE_MIN_FREE."""
    most, free = words.get("LAMINA_CACHE_SIZE", ""), words.get("LAMINA_CACHE_MIN_FREE", "")
    return Bounds(quantity.size(most) if most else None, quantity.size(free) if free else 0)
