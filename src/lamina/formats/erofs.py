"""The superblock of EROFS images, and how mkfs.erofs makes those of lamina.

https://docs.kernel.org/filesystems/erofs.html and, field by field, fs/erofs/erofs_fs.h of Linux.
"""

from __future__ import annotations

import re
from struct import Struct
from typing import NamedTuple

from lamina.core.errors import IntegrityError

MAGIC = 0xE0F5E1E2
SUPERBLOCK_OFFSET = 1024
SUPERBLOCK_SIZE = 128
BLOCK_SIZE = 65_536  # bytes that lamina compresses into at most
NAMES = {"lz4": "lz4", "gzip": "deflate", "xz": "lzma", "zstd": "zstd"}  # what mkfs.erofs says
LEVELS = {"zstd": range(1, 23), "gzip": range(1, 10), "lz4": range(1, 13), "xz": range(10)}

_ALGORITHMS = ("lz4", "lzma", "deflate", "zstd")  # the bits of `available_compr_algs`
_COMPRESSED, _TELLS_ALGORITHMS = 0x1, 0x2  # of the features that a reader must know
_HIGH = 3  # from this level on, lz4 takes its time
_SUPERBLOCK = Struct("<3I 2B H 2Q 4I 16s 16s I H")
_SMALLEST_BLOCK, _LARGEST_BLOCK = 9, 16  # as powers of two
_COMPRESSORS = re.compile(r"^Available compressors are: (.*)$|^    (\w+)\b", re.MULTILINE)


class Superblock(NamedTuple):
    """What an image says of itself."""

    checksum: int
    block_size: int  # bytes
    root: int  # number of the root's node
    inodes: int
    modified: int  # seconds since 1970, of what does not say otherwise
    blocks: int  # of the whole image
    uuid: str  # 32 hexadecimal digits
    volume: str
    features: int  # those that a reader must know
    compressors: tuple[str, ...]  # that it may use

    @property
    def size(self) -> int:
        """Bytes of the whole image."""
        return self.blocks * self.block_size


def is_image(first_bytes: bytes) -> bool:
    """Whether these bytes, more than `SUPERBLOCK_OFFSET`, begin an EROFS image."""
    end = SUPERBLOCK_OFFSET + 4
    return first_bytes[SUPERBLOCK_OFFSET:end] == MAGIC.to_bytes(4, "little")


def parse(first_bytes: bytes) -> Superblock:
    """Read and check the superblock in the first 1,152 bytes of an image.

    Raises IntegrityError if there is none.
    """
    if not is_image(first_bytes) or len(first_bytes) < SUPERBLOCK_OFFSET + SUPERBLOCK_SIZE:
        raise IntegrityError("not an EROFS image: no superblock")
    (
        _, checksum, _, log, _, root, inodes, seconds, _, blocks, _, _, uuid, volume,
        features, algorithms,
    ) = _SUPERBLOCK.unpack_from(first_bytes, SUPERBLOCK_OFFSET)  # fmt: skip
    if not _SMALLEST_BLOCK <= log <= _LARGEST_BLOCK:
        raise IntegrityError(f"EROFS image with an impossible block size of 2^{log}")
    if not features & _TELLS_ALGORITHMS:
        algorithms = features & _COMPRESSED  # which was lz4 alone, once
    known = tuple(name for bit, name in enumerate(_ALGORITHMS) if algorithms >> bit & 1)
    return Superblock(
        checksum, 1 << log, root, inodes, seconds, blocks, uuid.hex(),
        volume.rstrip(b"\0").decode(errors="replace"), features, known,
    )  # fmt: skip


def options(
    uuid: str, compression: str = "lz4", level: int | None = None, block_size: int = BLOCK_SIZE
) -> tuple[str, ...]:
    """How mkfs.erofs is told to make the same bytes of the same tree.

    A level is one of `LEVELS`, or None for the usual; the UUID is 32 hexadecimal digits.
    """
    parts = (uuid[:8], uuid[8:12], uuid[12:16], uuid[16:20], uuid[20:32])
    fixed = ("--quiet", "-T0", "-x-1", "--all-root", f"-U{'-'.join(parts)}")
    if compression == "none":
        return fixed
    return (*fixed, f"-z{_compressor(compression, level)}", f"-C{block_size}")


def _compressor(compression: str, level: int | None) -> str:
    if compression == "lz4":
        return f"lz4hc,{level}" if level is not None and level >= _HIGH else "lz4"
    name = NAMES[compression]
    return name if level is None else f"{name},{level}"


def compressors(help_: str) -> set[str]:
    """Those that a mkfs.erofs was built with, from what its `--help` prints."""
    found: set[str] = set()
    for listed, alone in _COMPRESSORS.findall(help_):
        found.update(word.strip() for word in listed.split(",") if word.strip())
        found.update([alone] if alone else [])
    return found
