"""Deltas: a large blob told by what differs from another one, as `zstd --patch-from` writes it.

A zstd frame (RFC 8878) with the other blob as its history. Made by the program `zstd`, as no
library for Python can; read by `zstandard`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO

from lamina.core.errors import IntegrityError

DELTA = "application/vnd.lamina.delta.v1+zstd"
SMALLEST, LARGEST = 1 << 20, 1 << 28  # bytes of a blob for which one is made; memory bounds it
_LEVEL = "-6"
_CHUNK = 1 << 20
_WINDOW = 1 << 31  # bytes, more than both blobs


def is_made() -> bool:
    """Whether this machine can make one."""
    from lamina.linux import process  # dear, and who only reads deltas does without

    return process.find("zstd") is not None


def make(base: Path, blob: Path, target: Path) -> None:
    """Write the delta that leads from one blob to another; raises HostError."""
    from lamina.linux import process

    process.run(
        "zstd", "-q", "-f", "--long=31", "--single-thread", _LEVEL, f"--patch-from={base}",
        blob, "-o", target,
    )  # fmt: skip


def apply(base: Path, delta: IO[bytes], size: int) -> Iterator[bytes]:
    """The pieces of the blob that a delta leads to, of `size` bytes at most.

    Raises IntegrityError for what is no delta; whether it was one of this base is to be seen by the
    digest of what comes out.
    """
    import zstandard

    history = zstandard.ZstdCompressionDict(
        base.read_bytes(), dict_type=zstandard.DICT_TYPE_RAWCONTENT
    )
    reader = zstandard.ZstdDecompressor(dict_data=history, max_window_size=_WINDOW)
    left = size
    try:
        with reader.stream_reader(delta) as stream:
            while piece := stream.read(_CHUNK):
                left -= len(piece)
                if left < 0:
                    raise IntegrityError(f"a delta leads to more than {size} bytes")
                yield piece
    except zstandard.ZstdError as error:
        raise IntegrityError(f"not a delta: {error}") from error
