"""The superblock of squashfs 4.0 images, and how mksquashfs makes those of lamina.

https://www.kernel.org/doc/html/latest/filesystems/squashfs.html and, field by field,
https://dr-emann.github.io/squashfs/squashfs.html
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from lamina.core.errors import IntegrityError

MAGIC = b"hsqs"
SUPERBLOCK_SIZE = 96
COMPRESSORS = {1: "gzip", 2: "lzma", 3: "lzo", 4: "xz", 5: "lz4", 6: "zstd"}

BLOCK_SIZE = 131_072  # bytes that lamina compresses at once
LEVELS = {"zstd": range(1, 23), "gzip": range(1, 10), "lz4": range(1, 13), "xz": range(0)}

_ZSTD_LEVEL = 3
_HIGH = 3  # from this level on, lz4 takes its time, as the levels of its own program do
_RAW = ("-comp", "gzip", "-noI", "-noD", "-noF", "-noX")  # gzip is what every reader knows
# The same tree gives the same bytes: owners and times are fixed. Files with equal content are kept
# once, but never as hard links, which would show how they were staged. mksquashfs refuses to have
# its times set by the variable too.
_FIXED = (
    "-all-root", "-mkfs-time", "0", "-all-time", "0",
    "-no-xattrs", "-no-exports", "-no-hardlinks",
)  # fmt: skip
# The same for what comes as a tar archive with owners, times and attributes that count.
FROM_TAR = (
    "-noappend", "-quiet", "-no-progress",
    "-comp", "zstd", "-Xcompression-level", "3", "-b", "131072",
    "-mkfs-time", "0", "-root-time", "0",
    "-root-mode", "0755", "-root-uid", "0", "-root-gid", "0",
)  # fmt: skip


def options(
    compression: str = "zstd", level: int | None = None, block_size: int = BLOCK_SIZE
) -> tuple[str, ...]:
    """How mksquashfs is told to compress; a level is one of `LEVELS`, or None for the usual."""
    words = _RAW if compression == "none" else ("-comp", compression, *_level(compression, level))
    return ("-noappend", "-quiet", "-no-progress", *words, "-b", str(block_size), *_FIXED)


def _level(compression: str, level: int | None) -> tuple[str, ...]:
    if compression == "lz4":
        return ("-Xhc",) if level is not None and level >= _HIGH else ()
    if compression == "zstd":
        level = level or _ZSTD_LEVEL
    return () if level is None else ("-Xcompression-level", str(level))


MKSQUASHFS = options()
EPOCH = "SOURCE_DATE_EPOCH"

_SUPERBLOCK = Struct("<5I6H8Q")
_MINIMUM_BLOCK = 4096
_MAXIMUM_BLOCK = 1 << 20
ABSENT = (1 << 64) - 1  # the place of a table that is none


class Superblock(NamedTuple):
    """The fields in the order of the format, without magic and block log."""

    inodes: int
    modified: int  # seconds since 1970
    block_size: int
    fragments: int
    compressor: str
    flags: int
    ids: int
    version: tuple[int, int]
    root: int
    bytes_used: int
    id_table: int
    xattr_table: int
    inode_table: int
    directory_table: int
    fragment_table: int
    export_table: int


def parse(first_bytes: bytes) -> Superblock:
    """Read and check the superblock at the start of an image; IntegrityError if it is none."""
    if len(first_bytes) < SUPERBLOCK_SIZE or not first_bytes.startswith(MAGIC):
        raise IntegrityError("not a squashfs image: no superblock")
    (
        _, inodes, modified, block_size, fragments,
        compressor, log, flags, ids, major, minor,
        *places,
    ) = _SUPERBLOCK.unpack_from(first_bytes)  # fmt: skip
    _check((major, minor), block_size, log, compressor)
    found = Superblock(
        inodes, modified, block_size, fragments, COMPRESSORS[compressor], flags, ids,
        (major, minor), *places,
    )  # fmt: skip
    _check_tables(found)
    return found


def encode(found: Superblock) -> bytes:
    """The superblock of an image."""
    compressor = next(number for number, name in COMPRESSORS.items() if name == found.compressor)
    return _SUPERBLOCK.pack(
        int.from_bytes(MAGIC, "little"), found.inodes, found.modified, found.block_size,
        found.fragments, compressor, found.block_size.bit_length() - 1, found.flags, found.ids,
        *found.version, *found[8:],
    )  # fmt: skip


def flags(*, fragments: bool, xattrs: bool) -> int:
    """What an image of ours says of itself: what it does not have."""
    return (0 if fragments else _NO_FRAGMENTS) | (0 if xattrs else _NO_XATTRS)


_NO_FRAGMENTS, _NO_XATTRS = 0x10, 0x200


def _check_tables(found: Superblock) -> None:
    """Each table that there is lies in the image; those of xattrs and the like may be absent."""
    for name in ("id", "xattr", "inode", "directory", "fragment", "export"):
        place = getattr(found, f"{name}_table")
        if place != ABSENT and not SUPERBLOCK_SIZE <= place < found.bytes_used:
            raise IntegrityError(f"squashfs image whose {name} table lies outside of it")


def _check(version: tuple[int, int], block_size: int, log: int, compressor: int) -> None:
    if version != (4, 0):
        raise IntegrityError(f"squashfs version {version[0]}.{version[1]} is not 4.0")
    if not _MINIMUM_BLOCK <= block_size <= _MAXIMUM_BLOCK or block_size != 1 << min(log, 63):
        raise IntegrityError(f"squashfs image with an impossible block size of {block_size}")
    if compressor not in COMPRESSORS:
        raise IntegrityError(f"squashfs image with an unknown compressor: {compressor}")
