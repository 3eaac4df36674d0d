"""Packs: many small blobs as one, so that a node asks once for them.

A tar archive in zstd; each member is named by the sha256 of its bytes. The same blobs give the same
pack. What is in one that came from elsewhere is compared with its name before anybody uses it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import IO, cast

from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError

PACK = "application/vnd.lamina.pack.v1.tar+zstd"
MOST = 1 << 28  # bytes that a pack holds at most
_LEVEL = 6
_LARGEST_WINDOW = 1 << 27  # bytes that a reader keeps


def encode(blobs: Mapping[Digest, bytes]) -> bytes:
    """A pack of some blobs."""
    import tarfile

    import zstandard

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for digest in sorted(blobs):
            member = tarfile.TarInfo(digest.hash)
            member.size = digest.size
            archive.addfile(member, io.BytesIO(blobs[digest]))
    return zstandard.ZstdCompressor(level=_LEVEL).compress(out.getvalue())


def decode(stream: IO[bytes], limit: int) -> Iterator[tuple[Digest, bytes]]:
    """The blobs that a pack holds, of `limit` bytes each at most; larger ones are passed over.

    Raises IntegrityError for what is no pack, or has bytes that are not what they are called.
    """
    import tarfile  # dear

    import zstandard

    reader = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW).stream_reader(stream)
    bounded = cast("IO[bytes]", _Bounded(reader))
    try:
        with tarfile.open(fileobj=bounded, mode="r|") as archive:
            for member in archive:
                if not member.isfile() or member.size > limit:
                    continue
                digest = Digest.from_oci(f"sha256:{member.name}", member.size)
                file = archive.extractfile(member)
                data = file.read() if file is not None else b""
                if Digest.of(data) != digest:
                    raise IntegrityError(f"a pack has other bytes as `{digest.hash}`")
                yield digest, data
    except (tarfile.TarError, zstandard.ZstdError, EOFError, ValueError) as error:
        raise IntegrityError(f"not a pack of blobs: {error}") from error


class _Bounded:
    """What is read of a stream that may have no end."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._left = MOST

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise IntegrityError(f"a pack of more than {MOST} bytes")
        return data
