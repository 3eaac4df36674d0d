"""Bytes on their way into a store and out of it, hashed as they pass."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import IO, TYPE_CHECKING, Literal, Protocol

from lamina.core.digest import Digest

if TYPE_CHECKING:
    from hashlib import _Hash

_CHUNK = 1 << 20


def _sha256() -> _Hash:
    import hashlib  # dear: it brings OpenSSL

    return hashlib.sha256()


class Incoming:
    """A blob on its way into a store."""

    def __init__(
        self,
        file: IO[bytes],
        adopt: Callable[[Digest], None],
        told: Callable[[int], None] = lambda _size: None,
    ) -> None:
        """`told` is called with the length of each piece that arrives."""
        self._file = file
        self._adopt = adopt
        self._told = told
        self._hasher = _sha256()
        self.size = 0  # bytes that have arrived

    def take_up(self) -> None:
        """Go on after what lies in the file already."""
        self._file.seek(0)
        while piece := self._file.read(_CHUNK):
            self._hasher.update(piece)
            self.size += len(piece)

    def write(self, data: bytes) -> int:
        """Take a piece; its length."""
        self._hasher.update(data)
        self._file.write(data)
        self.size += len(data)
        self._told(len(data))
        return len(data)

    def restart(self) -> None:
        """Forget all that has arrived."""
        self._file.seek(0)
        self._file.truncate()
        self._hasher = _sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """What has arrived so far, as hexadecimal digits."""
        return self._hasher.hexdigest()

    def adopt(self) -> Digest:
        """Keep it for good, under its name."""
        digest = Digest(self.sha256, self.size)
        self._adopt(digest)
        return digest


class Reader(Protocol):
    """What is read as a file is."""

    def seek(self, offset: int, /) -> object:
        """Go on from some byte."""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes; none at the end."""


class Distant(Protocol):
    """A blob that lies elsewhere, and may be read without having it here, more than once.

    Its last piece comes once all before it were as its name says; else BlobMissing is raised.
    """

    def open(self, mode: Literal["rb"], /) -> AbstractContextManager[Reader]:
        """Read it from its begin."""


class Hashing:
    """A file that hashes what is read of it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.hash = _sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.hash.update(data)
        return data
