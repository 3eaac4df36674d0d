"""Blobs that are being fetched, one process for each: who dies, another goes on where it stopped.

A part lies in `partial/<hash>` and is locked by who adds to it. It becomes a blob when it is whole
and has been compared with its name.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError
from lamina.linux import filesystem
from lamina.store.local import LocalStore
from lamina.store.streams import Incoming

FOLDER = "partial"
_PAUSE = 0.02  # seconds between two looks at who is before us
Told = Callable[[int], None]  # with the bytes that have just come


class Partials:
    """The blobs that processes on this machine fetch into one store."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store
        self._folder = store.folder / FOLDER

    @contextlib.contextmanager
    def turn(self, name: str) -> Iterator[None]:
        """Wait until no other process is at work on what has this name, and keep others waiting.

        `name` starts with 2 hexadecimal digits; work on other names may have to wait too.
        """
        self._folder.mkdir(exist_ok=True)
        path = self._folder / f"{name[:2]}.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            while not filesystem.try_lock(descriptor):
                time.sleep(_PAUSE)
            yield
        finally:
            os.close(descriptor)

    def fetch(
        self, digest: Digest, work: Callable[[Incoming], None], told: Told = lambda _size: None
    ) -> bool:
        """Bring a blob into the store; False if it is there, perhaps by another process by now.

        `work` lets the rest of it arrive. Of what it raises IntegrityError for, nothing is kept.
        """
        self._folder.mkdir(exist_ok=True)
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
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
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
