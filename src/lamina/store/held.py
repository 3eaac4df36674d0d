"""Content that a store can give, though it has no file of it: most is never asked for as a file."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Protocol

from lamina.core.digest import Digest
from lamina.store.streams import Distant

ROOM = 64 << 20  # bytes that are kept in memory
SMALL = 1 << 16  # bytes of the largest that are


class Upstream(Protocol):
    """A store further away, from which blobs are brought when they are needed here."""

    def bring(self, digests: Collection[Digest]) -> None:
        """Put those that it has into this store. What cannot be had is simply not there then."""

    def lacking(self, digests: Collection[Digest]) -> set[Digest]:
        """Those of some blobs that it does not have, or that cannot be had."""

    def distant(self, digest: Digest) -> Distant:
        """A blob, to be read without having it here."""


class Held:
    """Small blobs in memory, files elsewhere that are said to be blobs, and blobs far away.

    Safe to use from several threads: what one takes out, another finds in the store.
    """

    def __init__(self) -> None:
        self._data: dict[Digest, bytes] = {}
        self._files: dict[Digest, str] = {}
        self._far: set[Digest] = set()
        self._size = 0

    def __contains__(self, digest: Digest) -> bool:
        return digest in self._data or digest in self._files or digest in self._far

    def keep(self, digest: Digest, data: bytes) -> bool:
        """Keep a blob in memory; False where it takes too much of that."""
        if len(data) > SMALL or self._size + len(data) > ROOM:
            return False
        self._size += len(data)
        self._data[digest] = data
        return True

    def promise(self, digest: Digest, path: str) -> None:
        """Know a file that has these bytes, unless it changes."""
        self._files[digest] = path

    def expect(self, digests: Iterable[Digest]) -> None:
        """Know that blobs are far away, unless they are lost there."""
        self._far.update(digests)

    def forget_far(self) -> None:
        """Know of no blobs far away any more."""
        self._far.clear()

    def data(self, digest: Digest) -> bytes | None:
        """The bytes of a blob that is in memory."""
        return self._data.get(digest)

    def file(self, digest: Digest) -> Path | None:
        """The file that was promised to have a blob's bytes."""
        found = self._files.get(digest)
        return None if found is None else Path(found)

    def release(self, digest: Digest) -> None:
        """Forget a blob: the store has it, or nobody does."""
        data = self._data.pop(digest, None)
        self._size -= len(data or b"")
        self._files.pop(digest, None)
        self._far.discard(digest)

    def clear(self) -> None:
        """Forget all."""
        self._data.clear()
        self._files.clear()
        self._far.clear()
        self._size = 0
