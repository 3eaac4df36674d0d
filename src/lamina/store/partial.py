"""Blobs that are being fetched, one process for each: who dies, another goes on where it stopped.

A part lies in `partial/<hash>` and is locked by who adds to it. It becomes a blob when it is whole
and has been compared with its name.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError, UserError
from lamina.linux import filesystem
from lamina.store.local import LocalStore
from lamina.store.streams import Incoming

FOLDER = "partial"
_PAUSE = 0.02  # seconds between two looks at who is before us
_LOOK = 0.25  # seconds between two looks at how far that is
_END = "."
Told = Callable[[int], None]  # with the bytes that have just come


class Partials:
    """The blobs that processes on this machine fetch into one store."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store
        self._folder = store.folder / FOLDER

    @contextlib.contextmanager
    def turn(
        self,
        name: str,
        planned: Callable[[Iterable[Digest]], None] = lambda _digests: None,
        moved: Callable[[Digest, int], None] = lambda _digest, _size: None,
    ) -> Iterator[Turn]:
        """Wait until no other process is at work on what has this name, and keep others waiting.

        `name` starts with 2 hexadecimal digits; work on other names may have to wait too. While it
        waits, `planned` and `moved` are called for what the other one fetches.
        """
        filesystem.make_folder(self._folder)
        path = self._folder / f"{name[:2]}.lock"
        descriptor = filesystem.open_shared(path)
        try:
            seen = _Seen(self._store, name, planned, moved)
            until = 0.0
            while not filesystem.try_lock(descriptor):
                if time.monotonic() >= until:
                    seen.look(descriptor)
                    until = time.monotonic() + _LOOK
                time.sleep(_PAUSE)
            seen.end()
            found = Turn(descriptor, name)
            found.tell(())  # what is told there may be of one that is dead
            yield found
        finally:
            os.close(descriptor)

    def fetch(
        self, digest: Digest, work: Callable[[Incoming], None], told: Told = lambda _size: None
    ) -> bool:
        """Bring a blob into the store; False if it is there, perhaps by another process by now.

        `work` lets the rest of it arrive. Of what it raises IntegrityError for, nothing is kept.
        """
        filesystem.make_folder(self._folder)
        path = self._folder / digest.hash
        while not self._store.has(digest):
            with self._locked(path, digest, told) as descriptor:
                if descriptor is not None and not self._store.has(digest):
                    self._fetch(descriptor, path, digest, work, told)
                    return True
        return False

    @contextlib.contextmanager
    def _locked(self, path: Path, digest: Digest, told: Told) -> Iterator[int | None]:
        """The part, locked; None where it has become a blob or is gone meanwhile."""
        descriptor = filesystem.open_shared(path)
        try:
            seen = 0
            while not filesystem.try_lock(descriptor):
                time.sleep(_PAUSE)
                size = min(os.fstat(descriptor).st_size, digest.size)
                told(max(size - seen, 0))  # what the other one fetches comes here all the same
                seen = max(size, seen)
            told(-seen)  # it is counted again, by who goes on with it
            if os.geteuid() not in (0, os.fstat(descriptor).st_uid) and _is_at(descriptor, path):
                path.unlink()  # who shares the store began it, and could go on writing to it
            yield descriptor if _is_at(descriptor, path) else None
        finally:
            os.close(descriptor)

    def _fetch(
        self,
        descriptor: int,
        path: Path,
        digest: Digest,
        work: Callable[[Incoming], None],
        told: Told,
    ) -> None:
        def adopt(found: Digest) -> None:
            file.flush()
            os.fsync(descriptor)
            os.fchmod(descriptor, 0o444)
            self._store.adopt(path, found)

        with open(descriptor, "r+b", closefd=False) as file:
            if os.fstat(descriptor).st_size > digest.size:
                file.truncate(0)
            incoming = Incoming(file, adopt, told)
            incoming.take_up()
            told(incoming.size)
            try:
                work(incoming)
                if Digest(incoming.sha256, incoming.size) != digest:
                    raise IntegrityError(f"what was fetched is not `{digest.hash}`")
                incoming.adopt()
            except (IntegrityError, OSError):
                # Wrong bytes are of no use to anybody, and on a full disk they are in the way.
                path.unlink(missing_ok=True)
                raise


class Turn:
    """The right to be the only one at work on something."""

    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor = descriptor
        self._name = name

    def tell(self, digests: Iterable[Digest]) -> None:
        """Let those who wait know which blobs will come."""
        text = "".join(f"{line}\n" for line in (self._name, *digests, _END))
        with contextlib.suppress(OSError):  # on a full disk they know less
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, text.encode(), 0)


class _Seen:
    """How far another process has come with what this one waits for."""

    def __init__(
        self,
        store: LocalStore,
        name: str,
        planned: Callable[[Iterable[Digest]], None],
        moved: Callable[[Digest, int], None],
    ) -> None:
        self._store = store
        self._name = name
        self._planned = planned
        self._moved = moved
        self._sizes: dict[Digest, int] = {}  # of what is there, by the blob that it will be
        self._text = b""  # what was told at the last look

    def look(self, descriptor: int) -> None:
        """Tell of what has come since the last look."""
        fresh = [each for each in self._told(descriptor) if each not in self._sizes]
        if fresh:
            self._planned(fresh)
            self._sizes.update((each, 0) for each in fresh)
        for digest, size in self._sizes.items():
            if size < digest.size:
                self._set(digest, self._size(digest))

    def end(self) -> None:
        """Take back what is not there as a whole: it is counted again, by who goes on with it."""
        for digest in self._sizes:
            self._set(digest, digest.size if self._store.has(digest) else 0)

    def _set(self, digest: Digest, size: int) -> None:
        if size != self._sizes[digest]:
            self._moved(digest, size - self._sizes[digest])
            self._sizes[digest] = size

    def _size(self, digest: Digest) -> int:
        if self._store.has(digest):
            return digest.size
        try:
            return min((self._store.folder / FOLDER / digest.hash).stat().st_size, digest.size)
        except FileNotFoundError:
            return 0

    def _told(self, descriptor: int) -> list[Digest]:
        data = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        if data == self._text:
            return []
        self._text = data
        name, *lines = data.decode(errors="replace").split("\n")
        if name != self._name or lines[-2:] != [_END, ""]:
            return []  # it is at work on something else, or just writing
        try:
            return [Digest.parse(line) for line in lines[:-2]]
        except UserError:
            return []


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def sweep(folder: Path, older: float) -> int:
    """Remove the parts that nobody adds to, nor did for some seconds; the bytes of these."""
    freed = 0
    for path in folder.glob("?" * 64):
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            # Where the clock went back since, it is of long ago too.
            if abs(time.time() - status.st_mtime) >= older:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink(missing_ok=True)
                freed += status.st_size
        except BlockingIOError:
            continue
        finally:
            os.close(descriptor)
    return freed
