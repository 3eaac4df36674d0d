"""The data of a squashfs 4.0 image in the making: what files hold, packed in blocks.

Whole blocks of a file lie by themselves; the ends of files, and files that are smaller than one,
lie together in blocks that the format calls fragments.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable

from lamina.core.classes import replace
from lamina.formats import squashfs
from lamina.formats import squashtables as tables
from lamina.formats.inodes import Blocks, File, Folder, Node

Packer = Callable[[bytes], bytes]


class Data:
    """Grows by files; to `squashwriter` it is an image whose data is to be copied."""

    def __init__(self, form: tuple[str, int]) -> None:
        """With the compressor and the block size of an image (`squashreader.Image.form`)."""
        self.form = form
        self.fragments: list[tuple[int, int]] = []  # where each lies, and its size with its mark
        self._pack = packer(form[0])
        self._data = bytearray(squashfs.SUPERBLOCK_SIZE)  # places are counted from its begin
        self._ends = bytearray()  # of files, for the next fragment
        self._files: dict[tuple[int, int], File] = {}  # by what they were: one may have two names

    def add(self, content: Iterable[bytes | int]) -> Blocks:
        """Where a file lies that is given in pieces: bytes, or a number that tells of a hole."""
        data = b"".join(each if isinstance(each, bytes) else bytes(each) for each in content)
        size = self.form[1]
        whole = len(data) // size * size
        start = len(self._data)
        sizes = tuple(self._block(data[at : at + size]) for at in range(0, whole, size))
        end = data[whole:]
        if not end:
            return Blocks(start, sizes)
        if len(self._ends) + len(end) > size:
            self._flush()
        self._ends += end
        return Blocks(start, sizes, len(self.fragments), len(self._ends) - len(end))

    def take(self, folder: Folder, content: Callable[[File], Iterable[bytes | int]]) -> Folder:
        """The folder with files that lie here, by what tells their content."""
        entries: dict[bytes, Node] = {}
        for name, node in folder.entries.items():
            if isinstance(node, Folder):
                entries[name] = self.take(node, content)
            elif isinstance(node, File):
                entries[name] = self._file(node, content)
            else:
                entries[name] = node
        return replace(folder, entries=entries)

    def _file(self, file: File, content: Callable[[File], Iterable[bytes | int]]) -> File:
        key = file.image, file.number
        if key not in self._files:
            blocks = self.add(content(file))
            self._files[key] = replace(file, blocks=blocks, number=len(self._files), image=0)
        return self._files[key]

    def finish(self) -> bytes:
        """All of it, from the superblock's place on, which is empty; nothing is added after."""
        if self._ends:
            self._flush()
        return bytes(self._data)

    @property
    def end_of_data(self) -> int:
        """Where it ends."""
        return len(self._data)

    def _flush(self) -> None:
        start = len(self._data)
        self.fragments.append((start, self._block(bytes(self._ends))))
        self._ends.clear()

    def _block(self, data: bytes) -> int:
        """Add a block; its size, with the mark of one that is not compressed."""
        packed = self._pack(data)
        plain = len(packed) >= len(data)
        self._data += data if plain else packed
        return len(data) | tables.PLAIN_DATA if plain else len(packed)


def packer(compressor: str) -> Packer:
    """What packs a block; what comes out no smaller has to be written as it was."""
    if compressor == "zstd":
        import zstandard  # only who writes images needs it

        return zstandard.ZstdCompressor(level=3).compress
    if compressor == "gzip":
        return lambda data: zlib.compress(data, 6)
    return lambda data: data  # a block may be plain in any image
