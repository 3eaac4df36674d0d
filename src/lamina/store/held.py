"""Content that a store can give, though it has no file of it: most is never asked for as a file."""

from __future__ import annotations

from pathlib import Path

from lamina.core.digest import Digest

ROOM = 64 << 20  # bytes that are kept in memory
SMALL = 1 << 16  # bytes of the largest that are


class Held:
    """Small blobs in memory, and files elsewhere that are said to be blobs.

    Safe to use from several threads: what one takes out, another finds in the store.
    """

    def __init__(self) -> None:
        self._data: dict[Digest, bytes] = {}
        self._files: dict[Digest, str] = {}
        self._size = 0

    def __contains__(self, digest: Digest) -> bool:
        return digest in self._data or digest in self._files

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

    def clear(self) -> None:
        """Forget all."""
        self._data.clear()
        self._files.clear()
        self._size = 0
