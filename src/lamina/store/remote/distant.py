"""A blob of a build farm on its way to somewhere else, of which this machine keeps nothing."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from typing import Literal

from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError
from lamina.store.blobs import BlobMissing, mismatch
from lamina.store.remote.cas import Cas
from lamina.store.remote.errors import FarmError


class Distant:
    """Its bytes, a piece at a time; as told in `store.streams`."""

    def __init__(
        self, cas: Cas, digest: Digest, failed: Callable[[FarmError | IntegrityError], None]
    ) -> None:
        """`failed` is told why it cannot be had, and may raise."""
        self._cas = cas
        self._digest = digest
        self._failed = failed

    @contextlib.contextmanager
    def open(self, _mode: Literal["rb"] = "rb") -> Iterator[_Reader]:
        """Read it from its begin."""
        yield _Reader(self._cas, self._digest, self._failed)


class _Reader:
    def __init__(
        self, cas: Cas, digest: Digest, failed: Callable[[FarmError | IntegrityError], None]
    ) -> None:
        self._cas = cas
        self._digest = digest
        self._failed = failed
        self._at = 0
        self._hash = hashlib.sha256()
        self._hashed = 0  # bytes from the begin

    def seek(self, offset: int) -> None:
        self._at = offset

    def read(self, size: int = -1) -> bytes:
        left = self._digest.size - self._at
        wanted = left if size < 0 else min(size, left)
        if wanted <= 0:
            return b""
        try:
            data = self._cas.read_piece(self._digest, self._at, wanted)
            self._check(data)
        except (FarmError, IntegrityError) as error:
            self._failed(error)
            raise BlobMissing(self._digest) from error
        self._at += len(data)
        return data

    def _check(self, data: bytes) -> None:
        """Hash what has not passed before; the last piece goes nowhere unless all is right."""
        if self._at <= self._hashed < self._at + len(data):
            self._hash.update(data[self._hashed - self._at :])
            self._hashed = self._at + len(data)
        if self._at + len(data) == self._digest.size and (
            self._hashed != self._digest.size or self._hash.hexdigest() != self._digest.hash
        ):
            raise mismatch(self._digest)
