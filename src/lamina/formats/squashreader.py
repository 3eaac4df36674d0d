"""Reads squashfs 4.0 images without the kernel: all that is in one as values, and bytes of files.

So layers can be looked into and laid out by anybody, on any system. Field by field:
https://dr-emann.github.io/squashfs/squashfs.html

An image may lie: each place, size and number is checked before it is used, and a folder is entered
once. What is wrong raises IntegrityError.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from struct import error

from lamina.core.errors import IntegrityError
from lamina.formats import squashfs
from lamina.formats import squashtables as tables
from lamina.formats.inodes import (
    Attributes,
    Blocks,
    File,
    Folder,
    Node,
    Special,
    Symlink,
    Xattrs,
    check_name,
    split_xattrs,
)

COMPRESSORS = ("gzip", "xz", "zstd")  # those that are read here

_MOST_METADATA = 256 << 20  # bytes of all tables
_LARGEST = 1 << 62  # bytes of an image: what lies farther has no place in a file
_MOST_FOLDERS = 256  # in each other
_NOT_THERE = "what is wanted of the squashfs image is not in it"

Wanted = Mapping[bytes, "Wanted | None"]  # names in a folder: some of what is in each, or all


class UnknownCompressor(IntegrityError):
    """An image is packed in a way that is not known here, which others may know."""


class Image:
    """An open image. The descriptor stays its opener's."""

    def __init__(self, descriptor: int, offset: int = 0) -> None:
        """Read the tables of the image that starts at `offset` of an open file."""
        self._file = descriptor
        self._offset = offset
        self.superblock = squashfs.parse(os.pread(descriptor, squashfs.SUPERBLOCK_SIZE, offset))
        if self.superblock.compressor not in COMPRESSORS:
            raise UnknownCompressor(f"squashfs by {self.superblock.compressor} is not read here")
        self._unpack = _unpacker(self.superblock.compressor)
        self._last: tuple[int, bytes] | None = None  # number of a fragment, and what is in it
        try:
            self._read_tables()
        except error as fault:
            raise IntegrityError(f"a table of the squashfs image is cut off: {fault}") from fault

    @property
    def form(self) -> tuple[str, int]:
        """What images must have in common to share data: compressor and block size."""
        return self.superblock.compressor, self.superblock.block_size

    @property
    def end_of_data(self) -> int:
        """Where the blocks of files end, and the tables begin."""
        return self.superblock.inode_table

    def reopen(self, descriptor: int) -> None:
        """Read files from another descriptor of the same image: the first may be closed."""
        self._file = descriptor

    def _read_tables(self) -> None:
        found = self.superblock
        self._begin = found.inode_table
        size = found.bytes_used - self._begin
        most = _MOST_METADATA // tables.FRAGMENT.size
        if (
            not 0 <= size <= _MOST_METADATA
            or found.directory_table < self._begin
            or max(found.fragments, found.inodes) > most
            or found.bytes_used > _LARGEST
        ):
            raise IntegrityError("the tables of the squashfs image are too large, or in no order")
        self._tables = os.pread(self._file, size, self._offset + self._begin)
        self._cached: dict[int, tuple[bytes, int]] = {}  # by place: what it holds, where it ends
        self._ids = [
            int.from_bytes(data, "little") for data in self._table(found.id_table, found.ids, 4)
        ]
        table = found.fragment_table if found.fragments else -1
        self.fragments: list[tuple[int, int]] = []
        for data in self._table(table, found.fragments, tables.FRAGMENT.size):
            start, packed, _ = tables.FRAGMENT.unpack(data)
            self._check_data(start, packed & (tables.PLAIN_DATA - 1))
            self.fragments.append((start, packed))
        self._xattr_lists: list[Xattrs] = []
        self._opaque: list[bool] = []
        if found.xattr_table < found.bytes_used:
            self._read_xattrs()

    def _block(self, place: int) -> tuple[bytes, int]:
        """A block of metadata at a place of the image, and where the next one is."""
        if known := self._cached.get(place):
            return known
        at = place - self._begin
        if at < 0 or at + 2 > len(self._tables):
            raise IntegrityError(f"metadata of the squashfs image is said to lie at {place}")
        size = int.from_bytes(self._tables[at : at + 2], "little")
        end = at + 2 + (size & (tables.PLAIN - 1))
        data = self._tables[at + 2 : end]
        if end > len(self._tables):
            raise IntegrityError("metadata of the squashfs image is cut off")
        if not size & tables.PLAIN:
            data = self._unpack(data, tables.METADATA)
        if not 0 < len(data) <= tables.METADATA:
            raise IntegrityError("a block of metadata of the squashfs image has no right size")
        self._cached[place] = data, self._begin + end
        return self._cached[place]

    def _metadata(self, place: int, offset: int, size: int) -> bytes:
        """Bytes of metadata from an offset in the block at a place, over as many as need be."""
        data, following = self._block(place)
        if offset + size <= len(data):
            return data[offset : offset + size]
        pieces, left = [data[offset:]], size - max(len(data) - offset, 0)
        while left > 0:
            data, following = self._block(following)
            pieces.append(data[:left])
            left -= len(data)
        return b"".join(pieces)

    def _table(self, place: int, count: int, size: int) -> Iterator[bytes]:
        """The entries of a table that has a list of its blocks at a place."""
        for number in range(-(-count * size // tables.METADATA)):
            at = place - self._begin + 8 * number
            block, _ = self._block(int.from_bytes(self._tables[at : at + 8], "little"))
            for begin in range(
                0, min(count * size - number * tables.METADATA, tables.METADATA), size
            ):
                if begin + size > len(block):
                    raise IntegrityError("a table of the squashfs image is too short")
                yield block[begin : begin + size]

    def _read_xattrs(self) -> None:
        at = self.superblock.xattr_table
        pairs, count, _ = tables.XATTR_TABLE.unpack_from(self._tables, at - self._begin)
        if count * tables.XATTR_LIST.size > _MOST_METADATA:
            raise IntegrityError("the squashfs image has too many extended attributes")
        for data in self._table(at + tables.XATTR_TABLE.size, count, tables.XATTR_LIST.size):
            reference, number, size = tables.XATTR_LIST.unpack(data)
            if number > 4096 or size > _MOST_METADATA:
                raise IntegrityError("the squashfs image has too many extended attributes")
            kept, opaque = split_xattrs(dict(self._pairs(pairs, reference, number)))
            self._xattr_lists.append(kept)
            self._opaque.append(opaque)

    def _pairs(self, start: int, reference: int, count: int) -> Iterator[tuple[bytes, bytes]]:
        cursor = _Cursor(self, start + (reference >> 16), reference & 0xFFFF)
        for _ in range(count):
            kind, size = cursor.number(2), cursor.number(2)
            if kind & 0xFF >= len(tables.PREFIXES):
                raise IntegrityError(f"an extended attribute has the unknown type {kind}")
            name = tables.PREFIXES[kind & 0xFF] + cursor.bytes(size)
            value = cursor.bytes(cursor.number(4))
            if kind & tables.ELSEWHERE:
                at = int.from_bytes(value, "little")
                other = _Cursor(self, start + (at >> 16), at & 0xFFFF)
                value = other.bytes(other.number(4))
            yield name, value

    def root(self, wanted: Wanted | None = None) -> Folder:
        """All that is in the image, or what is wanted of it, which has to be there."""
        self._left = self.superblock.inodes + 1  # each folder is entered once, whatever it tells
        self._seen: set[int] = set()
        self._inodes: dict[int, Node] = {}
        try:
            found = self._node(self.superblock.root, 0, wanted)
        except (error, IndexError) as fault:
            raise IntegrityError(f"an inode of the squashfs image is damaged: {fault}") from fault
        if not isinstance(found, Folder):
            raise IntegrityError("the root of the squashfs image is no folder")
        return found

    def _node(self, reference: int, depth: int, wanted: Wanted | None) -> Node:
        if known := self._inodes.get(reference):
            return known
        place, offset = self.superblock.inode_table + (reference >> 16), reference & 0xFFFF
        head = self._metadata(place, offset, tables.HEAD.size)
        kind, mode, user, group, modified, number = tables.HEAD.unpack(head)
        cursor = _Cursor(self, place, offset + tables.HEAD.size)
        short = kind - tables.LONG if kind > tables.LONG else kind
        plain = Attributes(mode & 0o7777, self._ids[user], self._ids[group], modified)
        if short == tables.IS_FOLDER:
            return self._folder(cursor, plain, reference, depth, wanted, is_long=kind != short)
        if wanted:
            raise IntegrityError(_NOT_THERE)
        found: Node
        if short == tables.IS_FILE:
            found = self._regular(cursor, plain, number, is_long=kind != short)
        elif short == tables.IS_SYMLINK:
            _, size = tables.SYMLINK.unpack(cursor.bytes(tables.SYMLINK.size))
            if not 0 < size <= 4096:
                raise IntegrityError(f"a symlink with {size} bytes in a squashfs image")
            target = cursor.bytes(size)
            found = Symlink(self._attributes(plain, cursor, is_long=kind != short), target)
        elif short in tables.SPECIAL:
            cursor.number(4)  # links
            device = cursor.number(4) if short in tables.DEVICES else 0
            attributes = self._attributes(plain, cursor, is_long=kind != short)
            found = Special(attributes, tables.SPECIAL[short], device)
        else:
            raise IntegrityError(f"an inode of the unknown type {kind} in a squashfs image")
        self._inodes[reference] = found
        return found

    def _attributes(self, plain: Attributes, cursor: _Cursor, *, is_long: bool) -> Attributes:
        return self._with(plain, cursor.number(4)) if is_long else plain

    def _with(self, plain: Attributes, xattrs: int) -> Attributes:
        if xattrs == tables.NOTHING or not self._xattr_lists[xattrs]:
            return plain
        return Attributes(
            plain.mode, plain.uid, plain.gid, plain.modified, self._xattr_lists[xattrs]
        )

    def _regular(self, cursor: _Cursor, plain: Attributes, number: int, *, is_long: bool) -> File:
        holes, xattrs = 0, tables.NOTHING
        if is_long:
            start, size, holes, _, fragment, offset, xattrs = tables.LONG_FILE.unpack(
                cursor.bytes(tables.LONG_FILE.size)
            )
        else:
            start, fragment, offset, size = tables.FILE.unpack(cursor.bytes(tables.FILE.size))
        whole, rest = divmod(size, self.superblock.block_size)
        if fragment == tables.NOTHING and rest:
            whole += 1
        if whole * 4 > len(self._tables) * 1024 or (fragment != tables.NOTHING and not rest):
            raise IntegrityError(f"a file with impossible {size} bytes in a squashfs image")
        data = cursor.bytes(4 * whole)
        sizes = tuple(memoryview(data).cast("I")) if whole else ()
        self._check_data(
            start, sum(each & (tables.PLAIN_DATA - 1) for each in sizes) if whole else 0
        )
        if fragment != tables.NOTHING and (
            fragment >= len(self.fragments) or offset + rest > self.superblock.block_size
        ):
            raise IntegrityError("the end of a file lies nowhere in the squashfs image")
        blocks = Blocks(
            start, sizes, None if fragment == tables.NOTHING else fragment, offset, holes
        )
        return File(self._with(plain, xattrs), size, blocks, number)

    def _check_data(self, start: int, size: int) -> None:
        if size and not squashfs.SUPERBLOCK_SIZE <= start <= self.end_of_data - size:
            raise IntegrityError(f"data of the squashfs image is said to lie at {start}")

    def _folder(
        self,
        cursor: _Cursor,
        plain: Attributes,
        reference: int,
        depth: int,
        wanted: Wanted | None,
        *,
        is_long: bool,
    ) -> Folder:
        xattrs = tables.NOTHING
        if is_long:
            _, size, block, _, _, offset, xattrs = tables.LONG_FOLDER.unpack(
                cursor.bytes(tables.LONG_FOLDER.size)
            )
        else:
            block, _, size, offset, _ = tables.FOLDER.unpack(cursor.bytes(tables.FOLDER.size))
        if reference in self._seen or depth > _MOST_FOLDERS:
            raise IntegrityError("a folder of the squashfs image lies in itself, or too deep")
        self._seen.add(reference)
        entries: dict[bytes, Node] = {}
        if size > tables.DOTS:
            place = self.superblock.directory_table + block
            for name, inode in self._listing(place, offset, size - tables.DOTS):
                self._left -= 1
                if name in entries or self._left < 0:
                    raise IntegrityError(f"{name[:300]!r} is there more than once, or too much is")
                if wanted is None or name in wanted:
                    inner = None if wanted is None else wanted[name]
                    entries[name] = self._node(inode, depth + 1, inner)
        if wanted is not None and wanted.keys() - entries.keys():
            raise IntegrityError(_NOT_THERE)
        opaque = xattrs != tables.NOTHING and self._opaque[xattrs]
        return Folder(self._with(plain, xattrs), dict(sorted(entries.items())), opaque)

    def _listing(self, place: int, offset: int, size: int) -> Iterator[tuple[bytes, int]]:
        if size > len(self._tables) * 1024:
            raise IntegrityError("a folder of the squashfs image is larger than that can be")
        data = self._metadata(place, offset, size)
        at = 0
        while at < len(data):
            count, block, _ = tables.LISTING.unpack_from(data, at)
            at += tables.LISTING.size
            if count >= tables.MOST_ENTRIES:
                raise IntegrityError("a folder of the squashfs image is damaged")
            for _ in range(count + 1):
                inode, _, _, length = tables.ENTRY.unpack_from(data, at)
                at += tables.ENTRY.size
                yield check_name(data[at : at + length + 1]), block << 16 | inode
                at += length + 1

    def chunks(self, file: File) -> Iterator[bytes | int]:
        """The content of a file in pieces: bytes, or a number that tells how long a hole is."""
        whole, left = self.superblock.block_size, file.size
        at = file.blocks.start
        for packed in file.blocks.sizes:
            wanted = min(whole, left)
            stored = packed & (tables.PLAIN_DATA - 1)
            yield self._data(at, packed, wanted) if stored else wanted
            at += stored
            left -= wanted
        if left and file.blocks.fragment is not None:
            data = self._fragment(file.blocks.fragment)
            data = data[file.blocks.offset : file.blocks.offset + left]
            if len(data) != left:
                raise IntegrityError("the end of a file lies nowhere in the squashfs image")
            yield data

    def _fragment(self, number: int) -> bytes:
        """A block of the ends of files: one is often asked for many times in a row."""
        if self._last is None or self._last[0] != number:
            start, packed = self.fragments[number]
            self._last = number, self._data(start, packed, self.form[1], exact=False)
        return self._last[1]

    def _data(self, start: int, packed: int, size: int, *, exact: bool = True) -> bytes:
        stored = packed & (tables.PLAIN_DATA - 1)
        data = os.pread(self._file, stored, self._offset + start)
        if not packed & tables.PLAIN_DATA:
            data = self._unpack(data, size)
        if len(data) > size or (exact and len(data) != size):
            raise IntegrityError("a block of the squashfs image is longer or shorter than it was")
        return data


class _Cursor:
    """Reads metadata in its order."""

    def __init__(self, image: Image, place: int, offset: int) -> None:
        self._image, self._place, self._offset = image, place, offset

    def bytes(self, size: int) -> bytes:
        """The next bytes."""
        if size > _MOST_METADATA:
            raise IntegrityError("metadata of the squashfs image is cut off")
        # What is read was often read to the end of a block just before.
        data, following = self._image._block(self._place)
        while self._offset >= len(data):
            self._offset -= len(data)
            self._place = following
            data, following = self._image._block(self._place)
        found = self._image._metadata(self._place, self._offset, size)
        self._offset += size
        return found

    def number(self, size: int) -> int:
        """The next bytes as a number."""
        return int.from_bytes(self.bytes(size), "little")


def _unpacker(compressor: str) -> Callable[[bytes, int], bytes]:
    """What unpacks a block that has at most as many bytes as is said."""
    if compressor == "zstd":
        return _zstd()
    return _by_zlib if compressor == "gzip" else _by_lzma


def _zstd() -> Callable[[bytes, int], bytes]:
    import zstandard  # only who looks into images needs it

    unpacker = zstandard.ZstdDecompressor()

    def unpack(data: bytes, most: int) -> bytes:
        try:
            if zstandard.frame_content_size(data) > most:
                raise IntegrityError("a block of the squashfs image unpacks to too much")
            return unpacker.decompress(data, max_output_size=most)
        except zstandard.ZstdError as fault:
            raise IntegrityError(f"a block of the squashfs image is damaged: {fault}") from fault

    return unpack


def _by_zlib(data: bytes, most: int) -> bytes:
    try:
        unpacker = zlib.decompressobj()
        found = unpacker.decompress(data, most)
    except zlib.error as fault:
        raise IntegrityError(f"a block of the squashfs image is damaged: {fault}") from fault
    return _whole(found, done=unpacker.eof or not unpacker.unconsumed_tail)


def _by_lzma(data: bytes, most: int) -> bytes:
    import lzma

    unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=1 << 28)
    try:
        found = unpacker.decompress(data, most)
    except lzma.LZMAError as fault:
        raise IntegrityError(f"a block of the squashfs image is damaged: {fault}") from fault
    return _whole(found, done=True)


def _whole(found: bytes, *, done: bool) -> bytes:
    if not done:
        raise IntegrityError("a block of the squashfs image unpacks to too much")
    return found
