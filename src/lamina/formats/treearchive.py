"""Trees as tar and zip archives: one tree gives one archive, byte for byte.

Tar is that of POSIX 1003.1-2001 (pax); zip is that of PKWARE's APPNOTE with Unix modes. Folders are
listed, owners are 0:0, times are the earliest that the format has, modes are 0755 for folders and
executable files and 0644 for the rest. Nothing is held in memory but one piece of one file.
"""

from __future__ import annotations

import stat
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import IO, Protocol

from lamina.core.digest import Digest
from lamina.core.tree import File, Folder, Node, Symlink, Tree, with_folders


class Readable(Protocol):
    """A stream, read once from its beginning."""

    def read(self, size: int = ..., /) -> bytes:
        """Up to so many bytes; none at the end."""


Open = Callable[[Digest], AbstractContextManager[Readable]]  # a blob

_CHUNK = 1 << 20
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # that a zip can tell
_UNIX = 3  # whose attributes a zip's entry has
_LARGE = 1 << 31  # bytes from which on an entry has wider fields
_FOLDER_OF_DOS = 0x10


def mode(node: Node) -> int:
    """The permissions of a file, symlink or folder in a package root."""
    if isinstance(node, Symlink):
        return 0o777
    return 0o755 if isinstance(node, Folder) or node.executable else 0o644


def write_tar(tree: Tree, open_blob: Open, out: IO[bytes]) -> None:
    """Write a tree as a tar archive, uncompressed, to a stream."""
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for path, node in with_folders(tree).items():
            entry = _entry(path, node)
            if isinstance(node, File):
                with open_blob(node.digest) as file:
                    archive.addfile(entry, file)
            else:
                archive.addfile(entry)


def _entry(path: str, node: Node) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.mode = mode(node)
    if isinstance(node, File):
        entry.size = node.digest.size
    elif isinstance(node, Symlink):
        entry.type, entry.linkname = tarfile.SYMTYPE, node.target
    else:
        entry.type = tarfile.DIRTYPE
    return entry


def write_zip(tree: Tree, open_blob: Open, out: IO[bytes], level: int | None = 6) -> None:
    """Write a tree as a zip archive to a file that can seek; level None compresses nothing."""
    kind = zipfile.ZIP_STORED if level is None else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(out, "w") as archive:
        for path, node in with_folders(tree).items():
            entry = _zip_entry(path, node)
            if isinstance(node, File):
                entry.compress_type = kind
                entry._compresslevel = level  # type: ignore[attr-defined]  # no public way streams
                entry.file_size = node.digest.size
                large = node.digest.size >= _LARGE
                with (
                    open_blob(node.digest) as file,
                    archive.open(entry, "w", force_zip64=large) as inside,
                ):
                    copy(file, inside)
            else:
                archive.writestr(entry, node.target if isinstance(node, Symlink) else b"")


def _zip_entry(path: str, node: Node) -> zipfile.ZipInfo:
    kinds = {File: stat.S_IFREG, Symlink: stat.S_IFLNK, Folder: stat.S_IFDIR}
    folder = isinstance(node, Folder)
    entry = zipfile.ZipInfo(f"{path}/" if folder else path, _EARLIEST)
    entry.create_system = _UNIX
    entry.external_attr = (kinds[type(node)] | mode(node)) << 16
    if folder:
        entry.external_attr |= _FOLDER_OF_DOS
    return entry


def copy(source: Readable, target: IO[bytes]) -> None:
    """Copy what is left of a stream."""
    while piece := source.read(_CHUNK):
        target.write(piece)
