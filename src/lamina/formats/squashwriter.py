"""Writes one squashfs 4.0 image of the files of several, whose data is copied packed as it is.

Only the tables are made anew. So it takes as long as to copy the data, needs no right, and keeps
all that the images tell: owners, modes, times, attributes, hard links, holes. The images must have
one compressor and one block size. The same folder of the same images gives the same bytes.

    superblock | data of each image | inodes | folders | fragments | ids | attributes | to 4,096
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from lamina.core.errors import IntegrityError
from lamina.formats import squashfs
from lamina.formats import squashtables as tables
from lamina.formats.inodes import OPAQUE, Attributes, File, Folder, Node, Symlink
from lamina.formats.squashdata import Data, Packer, packer

if TYPE_CHECKING:
    from lamina.formats import squashreader

_ALIGNED = 4096  # a loop device wants whole blocks
_TYPES = {kind: number for number, kind in tables.SPECIAL.items()}
_LARGEST = 0xFFFF  # a short inode's folder
_SHORT = 1 << 32  # where the numbers of a short inode end
_FAR = 0x7FFF  # between an inode's number and the first of its part of a listing


Copy = Callable[[int, int, int, int], None]  # number of the image, begin, size: to a place


class Image(Protocol):
    """What is copied from an image: `squashreader.Image` is one, and so is `squashdata.Data`."""

    @property
    def form(self) -> tuple[str, int]:
        """Its compressor and block size."""

    @property
    def fragments(self) -> Sequence[tuple[int, int]]:
        """Where each lies, and its size, as the format has it."""

    @property
    def end_of_data(self) -> int:
        """Where the blocks of files end."""


def write(descriptor: int, root: Folder, images: Sequence[Image], copy: Copy) -> None:
    """Write a folder whose files are `images[file.image]`'s to an empty file.

    `copy` is called to copy bytes of an image, counted from its begin, to a place of the file.

    Raises ValueError unless the images have one form, IntegrityError for what squashfs can not
    hold.
    """
    if len({image.form for image in images}) != 1:
        raise ValueError("images of several forms can not be written as one")
    _Writer(descriptor, root, images, copy).write()


def write_anew(descriptor: int, root: Folder, images: Sequence[squashreader.Image]) -> None:
    """Write a folder to an empty file as `write` does, but of the data only what is in it.

    That is packed again, in the form of the first image, whatever that of the others is.
    """
    data = Data(images[0].form)
    tree = data.take(root, lambda file: images[file.image].chunks(file))
    packed = data.finish()

    def copy(_number: int, begin: int, size: int, place: int) -> None:
        os.pwrite(descriptor, packed[begin : begin + size], place)

    write(descriptor, tree, [data], copy)


class _Writer:
    def __init__(self, descriptor: int, root: Folder, images: Sequence[Image], copy: Copy) -> None:
        self._file, self._root, self._images, self._copy = descriptor, root, images, copy
        compressor, self._block_size = images[0].form
        self._compressor = compressor
        pack = packer(compressor)
        self._inodes, self._listings = _Stream(pack), _Stream(pack)
        self._pack = pack
        self._ids: dict[int, int] = {}
        self._xattrs: dict[tuple[tuple[bytes, bytes], ...], int] = {}
        self._numbers: dict[int | tuple[int, int], int] = {}  # of nodes
        self._links: dict[tuple[int, int], int] = {}  # names of a file that has several
        self._written: dict[tuple[int, int], tuple[int, int]] = {}  # type and place of such a file
        self._moved: list[int] = []  # by how much the data of each image
        self._first_fragment: list[int] = []

    def write(self) -> None:
        self._count(self._root)
        end = self._copy_data()
        self._number(self._root)
        _, root = self._folder(self._root, len(self._numbers) + 1, is_root=True)
        inode_table = end
        data = [self._inodes.finish()]
        directory_table = inode_table + len(data[0])
        data.append(self._listings.finish())
        place = directory_table + len(data[1])
        fragments = [
            tables.FRAGMENT.pack(start + moved, size, 0)
            for image, moved in zip(self._images, self._moved, strict=True)
            for start, size in image.fragments
        ]
        fragment_table, place = self._table(fragments, place, data)
        ids = [tables.NUMBER.pack(number) for number in self._ids]
        id_table, place = self._table(ids, place, data)
        xattr_table, place = self._xattr_table(place, data)
        os.pwrite(self._file, b"".join(data), end)
        os.ftruncate(self._file, -(-place // _ALIGNED) * _ALIGNED)
        head = squashfs.Superblock(
            inodes=len(self._numbers),
            modified=0,
            block_size=self._block_size,
            fragments=len(fragments),
            compressor=self._compressor,
            flags=squashfs.flags(fragments=bool(fragments), xattrs=bool(self._xattrs)),
            ids=len(ids),
            version=(4, 0),
            root=root,
            bytes_used=place,
            id_table=id_table,
            xattr_table=xattr_table,
            inode_table=inode_table,
            directory_table=directory_table,
            fragment_table=fragment_table if fragments else squashfs.ABSENT,
            export_table=squashfs.ABSENT,
        )
        os.pwrite(self._file, squashfs.encode(head), 0)

    def _count(self, folder: Folder) -> None:
        """Find the files that have several names."""
        for node in folder.entries.values():
            if isinstance(node, Folder):
                self._count(node)
            elif isinstance(node, File):
                key = node.image, node.number
                self._links[key] = self._links.get(key, 0) + 1

    def _copy_data(self) -> int:
        """Copy the data of all images, one behind the other; where it ends."""
        end, fragments = squashfs.SUPERBLOCK_SIZE, 0
        for number, image in enumerate(self._images):
            size = image.end_of_data - squashfs.SUPERBLOCK_SIZE
            self._copy(number, squashfs.SUPERBLOCK_SIZE, size, end)
            self._moved.append(end - squashfs.SUPERBLOCK_SIZE)
            self._first_fragment.append(fragments)
            fragments += len(image.fragments)
            end += size
        return end

    def _number(self, folder: Folder) -> None:
        """Number the inodes, those of one folder in a row: so their listing has few parts."""
        waiting = [folder]
        while waiting:
            inner = waiting.pop()
            for node in inner.entries.values():
                self._numbers.setdefault(_key(node), len(self._numbers) + 1)
                if isinstance(node, Folder):
                    waiting.append(node)
        self._numbers[_key(folder)] = len(self._numbers) + 1

    def _head(self, kind: int, attributes: Attributes, number: int) -> bytes:
        user = self._ids.setdefault(attributes.uid, len(self._ids))
        group = self._ids.setdefault(attributes.gid, len(self._ids))
        if max(user, group) > _LARGEST or not 0 <= attributes.modified < _SHORT:
            raise IntegrityError("more owners, or other times, than an image of squashfs can tell")
        return tables.HEAD.pack(kind, attributes.mode, user, group, attributes.modified, number)

    def _xattr(self, attributes: Attributes, *, opaque: bool = False) -> int:
        own = attributes.xattrs
        if opaque:
            own = tuple(sorted((*own, *((name, b"y") for name in OPAQUE))))
        return self._xattrs.setdefault(own, len(self._xattrs)) if own else tables.NOTHING

    def _node(self, node: Node, parent: int) -> tuple[int, int]:
        """Write an inode, of a folder after all in it; its type and its place."""
        if isinstance(node, Folder):
            return self._folder(node, parent)
        if isinstance(node, File):
            key = node.image, node.number
            if key not in self._written:
                self._written[key] = self._regular(node, self._links[key])
            return self._written[key]
        number = self._numbers[_key(node)]
        xattrs = self._xattr(node.attributes)
        if isinstance(node, Symlink):
            kind = tables.IS_SYMLINK
            rest = tables.SYMLINK.pack(1, len(node.target)) + node.target
        else:
            kind = _TYPES[node.kind]
            rest = tables.NUMBER.pack(1)
            rest += tables.NUMBER.pack(node.device) if kind in tables.DEVICES else b""
        if xattrs != tables.NOTHING:
            head = self._head(kind + tables.LONG, node.attributes, number)
            return kind, self._inodes.add(head + rest + tables.NUMBER.pack(xattrs))
        return kind, self._inodes.add(self._head(kind, node.attributes, number) + rest)

    def _regular(self, file: File, links: int) -> tuple[int, int]:
        blocks, kind = file.blocks, tables.IS_FILE
        start = blocks.start + self._moved[file.image] if any(blocks.sizes) else 0
        fragment = tables.NOTHING
        if blocks.fragment is not None:
            fragment = blocks.fragment + self._first_fragment[file.image]
        xattrs = self._xattr(file.attributes)
        number = self._numbers[_key(file)]
        # A short inode has one link, no holes that it tells of, and small numbers.
        if xattrs != tables.NOTHING or links > 1 or blocks.holes or max(start, file.size) >= _SHORT:
            head = self._head(kind + tables.LONG, file.attributes, number)
            head += tables.LONG_FILE.pack(
                start, file.size, blocks.holes, links, fragment, blocks.offset, xattrs
            )
        else:
            head = self._head(kind, file.attributes, number)
            head += tables.FILE.pack(start, fragment, blocks.offset, file.size)
        sizes = b"".join(map(tables.NUMBER.pack, blocks.sizes))
        return kind, self._inodes.add(head + sizes)

    def _folder(self, folder: Folder, parent: int, *, is_root: bool = False) -> tuple[int, int]:
        number = self._numbers[_key(folder)]
        entries = [
            (name, *self._node(node, number), self._numbers[_key(node)])
            for name, node in folder.entries.items()
        ]
        inner = sum(isinstance(node, Folder) for node in folder.entries.values())
        begin = self._listings.place
        size, indexes = self._listing(entries)
        size += tables.DOTS
        xattrs = self._xattr(folder.attributes, opaque=folder.opaque and not is_root)
        block, offset = begin >> 16, begin & 0xFFFF
        links, kind = inner + 2, tables.IS_FOLDER
        if xattrs == tables.NOTHING and not indexes and size <= _LARGEST:
            data = self._head(kind, folder.attributes, number)
            data += tables.FOLDER.pack(block, links, size, offset, parent)
        else:
            data = self._head(kind + tables.LONG, folder.attributes, number)
            data += tables.LONG_FOLDER.pack(
                links, size, block, parent, len(indexes), offset, xattrs
            ) + b"".join(indexes)
        return kind, self._inodes.add(data)

    def _listing(self, entries: Sequence[tuple[bytes, int, int, int]]) -> tuple[int, list[bytes]]:
        """Write the names in a folder; their size, and where among them a block begins."""
        size, indexes = 0, list[bytes]()
        indexed = self._listings.place >> 16
        at = 0
        while at < len(entries):
            _, _, place, first = entries[at]
            part = at
            while (
                part < len(entries)
                and part - at < tables.MOST_ENTRIES
                and entries[part][2] >> 16 == place >> 16
                and -_FAR <= entries[part][3] - first <= _FAR
            ):
                part += 1
            data = [tables.LISTING.pack(part - at - 1, place >> 16, first)]
            for name, kind, inode, number in entries[at:part]:
                data.append(
                    tables.ENTRY.pack(inode & 0xFFFF, number - first, kind, len(name) - 1) + name
                )
            found = b"".join(data)
            block = self._listings.add(found) >> 16
            if block != indexed:
                name = entries[at][0]
                indexes.append(tables.INDEX.pack(size, block, len(name) - 1) + name)
                indexed = block
            size += len(found)
            at = part
        return size, indexes

    def _table(self, entries: Iterable[bytes], place: int, data: list[bytes]) -> tuple[int, int]:
        """Write a table of entries at a place: where the list of its blocks is, and its end."""
        stream = _Stream(self._pack)
        for entry in entries:
            stream.add(entry)
        data.append(stream.finish())
        at = place + len(data[-1])
        data.append(b"".join((place + begin).to_bytes(8, "little") for begin in stream.begins))
        return at, at + len(data[-1])

    def _xattr_table(self, place: int, data: list[bytes]) -> tuple[int, int]:
        if not self._xattrs:
            return squashfs.ABSENT, place
        pairs = _Stream(self._pack)
        lists = []
        for own in self._xattrs:
            text = b"".join(_pair(name, value) for name, value in own)
            lists.append(tables.XATTR_LIST.pack(pairs.add(text), len(own), len(text)))
        data.append(pairs.finish())
        begin, place = place, place + len(data[-1])
        stream = _Stream(self._pack)
        for each in lists:
            stream.add(each)
        data.append(stream.finish())
        at = place + len(data[-1])
        data.append(tables.XATTR_TABLE.pack(begin, len(lists), 0))
        data.append(b"".join((place + start).to_bytes(8, "little") for start in stream.begins))
        return at, at + len(data[-1]) + len(data[-2])


def _key(node: Node) -> int | tuple[int, int]:
    """What parts an inode from others: files by where they are from, the rest by themselves."""
    return (node.image, node.number) if isinstance(node, File) else id(node)


def _pair(name: bytes, value: bytes) -> bytes:
    for number, prefix in enumerate(tables.PREFIXES):
        if name.startswith(prefix):
            rest = name.removeprefix(prefix)
            head = number.to_bytes(2, "little") + len(rest).to_bytes(2, "little")
            return head + rest + len(value).to_bytes(4, "little") + value
    raise IntegrityError(f"squashfs has no attribute {name!r}")


class _Stream:
    """Metadata: bytes in blocks of 8 KiB, each compressed."""

    def __init__(self, pack: Packer) -> None:
        self._pack = pack
        self._buffer = bytearray()
        self._done: list[bytes] = []
        self._size = 0
        self.begins: list[int] = []

    @property
    def place(self) -> int:
        """The reference of what is added next: where its block begins, and where it is in that."""
        return self._size << 16 | len(self._buffer)

    def add(self, data: bytes) -> int:
        """Add bytes, which may go over several blocks; their reference."""
        found = self.place
        self._buffer += data
        while len(self._buffer) >= tables.METADATA:
            self._flush()
        return found

    def finish(self) -> bytes:
        """All blocks."""
        if self._buffer:
            self._flush()
        return b"".join(self._done)

    def _flush(self) -> None:
        block = bytes(self._buffer[: tables.METADATA])
        del self._buffer[: tables.METADATA]
        packed = self._pack(block)
        size = len(packed)
        if size >= len(block):
            packed, size = block, len(block) | tables.PLAIN
        self.begins.append(self._size)
        self._done.append(size.to_bytes(2, "little") + packed)
        self._size += 2 + len(packed)
