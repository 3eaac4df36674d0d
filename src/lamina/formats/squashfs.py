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

# The same tree gives the same bytes: owners and times are fixed. Files with equal content are kept
# once, but never as hard links, which would show how they were staged. mksquashfs refuses to have
# its times set by the variable too.
MKSQUASHFS = (
    "-noappend", "-quiet", "-no-progress",
    "-comp", "zstd", "-Xcompression-level", "3", "-b", "131072",
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
EPOCH = "SOURCE_DATE_EPOCH"

_SUPERBLOCK = Struct("<5I6H8Q")
_MINIMUM_BLOCK = 4096
_MAXIMUM_BLOCK = 1 << 20


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
    return Superblock(
        inodes, modified, block_size, fragments, COMPRESSORS[compressor], flags, ids,
        (major, minor), *places,
    )  # fmt: skip


def _check(version: tuple[int, int], block_size: int, log: int, compressor: int) -> None:
    if version != (4, 0):
        raise IntegrityError(f"squashfs version {version[0]}.{version[1]} is not 4.0")
    if not _MINIMUM_BLOCK <= block_size <= _MAXIMUM_BLOCK or block_size != 1 << min(log, 63):
        raise IntegrityError(f"squashfs image with an impossible block size of {block_size}")
    if compressor not in COMPRESSORS:
        raise IntegrityError(f"squashfs image with an unknown compressor: {compressor}")
