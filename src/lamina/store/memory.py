"""A blob store that lives as long as its process."""

from __future__ import annotations

from collections.abc import Iterable

from lamina.core.digest import Digest
from lamina.store.blobs import BlobMissing


class MemoryStore:
    """Blobs in a dictionary."""

    def __init__(self) -> None:
        self._blobs: dict[Digest, bytes] = {}

    def missing(self, digests: Iterable[Digest]) -> set[Digest]:
        return {digest for digest in digests if digest not in self._blobs}

    def read(self, digest: Digest) -> bytes:
        try:
            return self._blobs[digest]
        except KeyError:
            raise BlobMissing(digest) from None

    def write(self, data: bytes) -> Digest:
        digest = Digest.of(data)
        self._blobs[digest] = data
        return digest
