"""The bytes of a blob as a stream carries them: pieces, plain or as zstd."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, cast

from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError
from lamina.store.blobs import mismatch

_PIECE = 1 << 20  # bytes of a stream's message


def pieces(file: IO[bytes]) -> Iterator[bytes]:
    """A file as it is."""
    while piece := file.read(_PIECE):
        yield piece


def deflating(file: IO[bytes]) -> Iterator[bytes]:
    """A file as a zstd stream."""
    import zstandard

    packer = zstandard.ZstdCompressor(level=3).compressobj()
    for piece in pieces(file):
        if small := packer.compress(piece):
            yield small
    yield packer.flush()


def inflating(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The bytes of a zstd stream, of one frame or several, never more at once than a piece."""
    import zstandard

    unpacker = zstandard.ZstdDecompressor()
    source = cast("IO[bytes]", _Source(pieces))
    with unpacker.stream_reader(source, read_across_frames=True) as reader:
        try:
            while piece := reader.read(_PIECE):
                yield piece
        except zstandard.ZstdError as error:
            raise IntegrityError("a blob that was sent is no zstd stream") from error


class _Source:
    """Pieces, read as a file is."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        data = self._rest or next(self._pieces, b"")
        self._rest = data[size:] if 0 <= size < len(data) else b""
        return data[:size] if size >= 0 else data


def inflated(data: bytes, digest: Digest) -> bytes:
    """The bytes of a small zstd stream; raises IntegrityError where they are more than a blob's."""
    found = bytearray()
    for piece in inflating(iter([data])):
        found += piece
        if len(found) > digest.size:
            raise mismatch(digest)
    return bytes(found)
