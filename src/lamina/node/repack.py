"""Packing images again that can not be read here: EROFS, and squashfs by other compressors.

`unsquashfs` and `fsck.erofs` unpack them into an empty folder, `mksquashfs` packs that.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from lamina.core.errors import HostError, IntegrityError
from lamina.formats import squashfs
from lamina.linux import filesystem, process
from lamina.node import mounts
from lamina.node.inside import Inside, look
from lamina.store import derived, verified
from lamina.store.local import LocalStore

USUAL = ("zstd", squashfs.BLOCK_SIZE)  # how it is packed then
_REPACKED = "lamina repacked 1"  # part of every name
_LOCK = "lock-repacked"  # which those who merge take while they have the other one
_UNPACKERS = {mounts.SQUASHFS: "unsquashfs", mounts.EROFS: "fsck.erofs"}


def readable(image: Path, store: LocalStore) -> tuple[Path, Inside]:
    """An image as squashfs of the usual form, made by the tools for its kind, once.

    All in it belongs to root, and its times are 0, as in all layers of packages.
    """
    path = repacked(image, store)
    inside = look(path)
    if inside is None:
        raise RuntimeError(f"`{path}` can not be read, which was just packed")
    return path, inside


def repacked(image: Path, store: LocalStore) -> Path:
    """The same without a look into it."""
    names = [mounts.content(image, store.folder)]
    name = derived.key(_REPACKED, names)
    if found := derived.kept(derived.MERGED, name, store.folder):
        return found
    with derived.making(derived.MERGED, name, names, store, lock=_LOCK) as made:
        if made is not None:
            for digest in filter(None, map(store.find, names)):
                verified.path(digest, store)
            _repack(image, made, store.scratch)
    return derived.place(derived.MERGED, name, store.folder)


def _repack(image: Path, made: Path, scratch: Path) -> None:
    import tempfile

    pack = process.require("mksquashfs")  # before anything is unpacked
    work = Path(tempfile.mkdtemp(prefix="merge-", dir=scratch))
    try:
        _unpack(image, work / "tree")
        environment = {name: value for name, value in os.environ.items() if name != squashfs.EPOCH}
        process.run(pack, work / "tree", made, *squashfs.MKSQUASHFS, env=environment, bound=True)
        with made.open("rb") as file:
            os.fchmod(file.fileno(), 0o444)
            os.fsync(file.fileno())
    finally:
        filesystem.remove_tree(work)


def _unpack(image: Path, folder: Path) -> None:
    with mounts.opened(image) as found:
        kind, offset = found.kind, found.offset
    options: list[str | Path]
    try:
        if kind == mounts.EROFS:
            options = [f"--extract={folder}", "--preserve-perms", "--no-preserve-owner", image]
        else:
            options = [
                "-quiet", "-no-progress", "-no-xattrs",
                "-offset", str(offset), "-dest", folder, image,
            ]  # fmt: skip
        process.run(process.require(_UNPACKERS[kind]), *options, bound=True)
    except HostError as error:
        if error.hint:
            raise
        raise HostError(f"can not unpack `{image}`: {error.message}") from error
    _make_readable(folder, image)


def _make_readable(folder: Path, image: Path) -> None:
    """Let the owner read all; IntegrityError for what lamina packs into no layer."""
    folder.chmod(stat.S_IMODE(folder.lstat().st_mode) | stat.S_IRWXU)
    with os.scandir(folder) as entries:
        for entry in entries:
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                _make_readable(Path(entry.path), image)
            elif stat.S_ISREG(mode):
                if not mode & stat.S_IRUSR:  # mksquashfs would take it for an empty file
                    Path(entry.path).chmod(stat.S_IMODE(mode) | stat.S_IRUSR)
            elif not stat.S_ISLNK(mode):
                raise IntegrityError(
                    f"`{entry.name}` in `{image}` is neither a file nor a folder nor a symlink"
                )
