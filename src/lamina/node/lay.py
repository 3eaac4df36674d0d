"""Laying out what layers hold as folders and files, on any POSIX system and by anybody.

A layer is unpacked once, as a folder of its regular files by their numbers (`unpacked`). A
package, or a run of its layers, is laid out of these (`Laying`): each file linked, shared or
copied, and folders, symlinks and pipes made anew. Owners are kept where root does it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from lamina.core.classes import dataclass
from lamina.core.errors import IntegrityError
from lamina.formats.inodes import Attributes, File, Folder, Node, Symlink
from lamina.linux import filesystem
from lamina.node import mounts
from lamina.node.inside import Inside, look
from lamina.store import derived, verified
from lamina.store.local import LocalStore

_UNPACKED = "lamina unpacked 1"  # part of every name
_ORDINARY = 0o1777  # of a mode: what counts where setuid is refused
_WRITABLE = 0o222
Place = Callable[[Path, Path, int], None]  # a file, its new name and its mode


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A layer, and the folder of its files by their numbers."""

    inside: Inside
    files: Path


def unpacked(image: Path, store: LocalStore, make: Callable[[Path], None] = os.mkdir) -> Unpacked:
    """A layer as files in the store, where it is unpacked once; `make` makes the folder."""
    source, inside = seen(image, store)
    names = [mounts.content(image, store.folder)]
    name = derived.key(_UNPACKED, names)
    state = derived.of_folder
    if derived.kept(derived.EXTRACTED, name, store.folder, state) is None:
        with derived.making(derived.EXTRACTED, name, names, store, state) as made:
            if made is not None:
                verified.members(names, store)
                make(made)
                unpack(source, inside, made)
    return Unpacked(inside, derived.place(derived.EXTRACTED, name, store.folder))


def seen(image: Path, store: LocalStore) -> tuple[Path, Inside]:
    """What is in an image, and the image to read that from; tools may be needed for it."""
    inside = look(image)
    if inside is not None:
        return image, inside
    from lamina.node.repack import readable

    return readable(image, store)


def unpack(image: Path, inside: Inside, folder: Path) -> None:
    """Write the regular files of an image to a folder, by their numbers."""
    done: set[int] = set()
    with mounts.opened(image) as found:
        inside.reader.reopen(found.descriptor)
        for file in _files(inside.root):
            if file.number in done:
                continue
            done.add(file.number)
            mode = stat.S_IFREG | (file.attributes.mode & _ORDINARY & ~_WRITABLE)
            target = os.open(
                folder / str(file.number), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            )
            try:
                _write(target, inside, file)
                os.fchmod(target, stat.S_IMODE(mode))
                _own(target, file.attributes)
                os.utime(target, (file.attributes.modified, file.attributes.modified))
            finally:
                os.close(target)


def _files(folder: Folder) -> Iterator[File]:
    for node in folder.entries.values():
        if isinstance(node, File):
            yield node
        elif isinstance(node, Folder):
            yield from _files(node)


def _write(target: int, inside: Inside, file: File) -> None:
    """Write a file's bytes; a hole stays one."""
    for chunk in inside.reader.chunks(file):
        if isinstance(chunk, int):
            os.lseek(target, chunk, os.SEEK_CUR)
            continue
        left = memoryview(chunk)
        while left:
            left = left[os.write(target, left) :]
    os.ftruncate(target, file.size)


def _own(target: int | Path, attributes: Attributes) -> None:
    if os.geteuid() == 0:
        os.chown(target, attributes.uid, attributes.gid, follow_symlinks=isinstance(target, int))


def link(source: Path, target: Path, mode: int) -> None:
    """Share a file's bytes, or give it a second name, or copy it: whatever can be done first."""
    if not filesystem.cloned(source, target, mode):
        filesystem.link_or_copy(source, target, mode)


def take(source: Path, target: Path, _mode: int) -> None:
    """Move a file."""
    source.rename(target)


def copy(source: Path, target: Path, mode: int) -> None:
    """Copy a file, sharing its bytes where the file system can."""
    filesystem.clone_or_copy(source, target, mode)


class Laying:
    """Lays out composed layers in a folder."""

    def __init__(self, layers: Sequence[Unpacked], place: Place, *, writable: bool) -> None:
        """`place` makes each file; unless it is `writable`, no mode lets anybody write."""
        self._layers, self._place = layers, place
        self._mask = _ORDINARY if writable else _ORDINARY & ~_WRITABLE
        self._placed: dict[tuple[int, int], Path] = {}

    def lay(self, tree: Folder, at: Path) -> None:
        """Make a folder what it is with these layers on top of what it holds."""
        for name, node in tree.entries.items():
            self._node(node, at / os.fsdecode(name))
        self._finish(at, tree.attributes)

    def _node(self, node: Node, path: Path) -> None:
        if isinstance(node, Folder):
            if node.opaque or not _is_folder(path):
                _remove(path)
                path.mkdir(0o700)
            else:
                path.chmod(0o700)
            self.lay(node, path)
            return
        _remove(path)
        if isinstance(node, File):
            self._file(node, path)
        elif isinstance(node, Symlink):
            path.symlink_to(os.fsdecode(node.target))
            _own(path, node.attributes)
            _set_time(path, node.attributes)
        elif node.kind == "pipe":
            os.mkfifo(path)
            self._finish(path, node.attributes)
        elif not node.is_whiteout:
            raise IntegrityError(f"`{path.name}` is a {node.kind}, which can only be mounted")

    def _file(self, file: File, path: Path) -> None:
        key = file.image, file.number
        if key in self._placed:
            os.link(self._placed[key], path)
            return
        self._placed[key] = path
        source = self._layers[file.image].files / str(file.number)
        self._place(source, path, file.attributes.mode & self._mask)
        if not _is_same(source, path):
            _own(path, file.attributes)
            path.chmod(file.attributes.mode & self._mask)  # a change of the owner takes some away
            _set_time(path, file.attributes)

    def _finish(self, path: Path, attributes: Attributes) -> None:
        _own(path, attributes)
        path.chmod(attributes.mode & self._mask)
        _set_time(path, attributes)


def _set_time(path: Path, attributes: Attributes) -> None:
    times = (attributes.modified, attributes.modified)
    if os.utime in os.supports_follow_symlinks:
        os.utime(path, times, follow_symlinks=False)
    elif not path.is_symlink():
        os.utime(path, times)


def _is_same(source: Path, target: Path) -> bool:
    try:
        return os.path.samestat(source.lstat(), target.lstat())
    except FileNotFoundError:
        return False  # it was moved there


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _remove(path: Path) -> None:
    if _is_folder(path):
        filesystem.remove_tree(path)
        return
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
