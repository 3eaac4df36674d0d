"""Merging: layers become one squashfs image, made once, where they can not be mounted as they are.

It holds what overlayfs would show: the upper of two files or symlinks, the entries of both
folders, and of a file and a folder the upper. Owners are 0:0, times 0, modes are kept, but for
one thing that changes nobody's access: the owner, who is root, may read everything.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from lamina.core.digest import Digest
from lamina.core.errors import HostError, IntegrityError
from lamina.formats import squashfs
from lamina.linux import filesystem, process
from lamina.node import mounts
from lamina.store.local import LocalStore

_UNPACKERS = {mounts.SQUASHFS: "unsquashfs", mounts.EROFS: "fsck.erofs"}
_FORMAT = "lamina merged 1"  # part of every name: what is made otherwise is something else


def merged(images: Sequence[Path], folder: Path) -> Path:
    """One squashfs image with what the images show as a stack, bottom first.

    A single squashfs image is itself.

    `folder` is the store that keeps it, named by the images' contents in their order. Of several
    processes that want it one makes it and the others wait.
    """
    if len(images) == 1 and mounts.kind(images[0]) == mounts.SQUASHFS:
        return images[0]
    with contextlib.closing(LocalStore(folder)) as store:
        names = [_content(image, store) for image in images]
        key = Digest.of("\n".join((_FORMAT, *names)).encode()).hash
        made = folder / "merged" / key[:2] / key[2:]
        if not made.exists():
            with filesystem.locked(made.with_name("lock")):
                if not made.exists():
                    _check(names, store)
                    _make(images, made, store.scratch)
    return made


def _content(image: Path, store: LocalStore) -> str:
    """The sha256 of an image: a blob of the store is named by it."""
    if image.parent.parent == store.folder / "blobs":
        return image.parent.name + image.name
    with mounts.opened(image) as found, open(found.descriptor, "rb", closefd=False) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check(names: Sequence[str], store: LocalStore) -> None:
    """IntegrityError for a damaged blob, which would else live on in what is made of it."""
    for digest in filter(None, map(store.find, names)):
        store.verify(digest)


def _make(images: Sequence[Path], made: Path, scratch: Path) -> None:
    import tempfile

    # All tools must be there before anything is unpacked.
    pack = process.require("mksquashfs")
    tools = {kind: process.require(_UNPACKERS[kind]) for kind in {*map(mounts.kind, images)}}
    work = Path(tempfile.mkdtemp(prefix="merge-", dir=scratch))
    try:
        _unpack(tools, images[0], work / "tree")
        for image in images[1:]:
            _unpack(tools, image, work / "layer")
            _lay(work / "layer", work / "tree")
            filesystem.remove_tree(work / "layer")
        _pack(pack, work / "tree", work / "image")
        _keep(work / "image", made)
    finally:
        filesystem.remove_tree(work)


def _unpack(tools: Mapping[str, Path], image: Path, folder: Path) -> None:
    """Unpack an image into a folder of its own.

    Over another's files the tools would write through their symlinks, wherever these lead.
    """
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
        process.run(tools[kind], *options, bound=True)
    except HostError as error:
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


def _lay(upper: Path, lower: Path) -> None:
    """Move what is in a folder over what is in another; symlinks are moved, never followed."""
    lower.chmod(stat.S_IMODE(upper.lstat().st_mode))
    with os.scandir(upper) as entries:
        for entry in list(entries):
            target = lower / entry.name
            if entry.is_dir(follow_symlinks=False) and _is_folder(target):
                _lay(Path(entry.path), target)
            else:
                _remove(target)
                Path(entry.path).rename(target)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _remove(path: Path) -> None:
    if _is_folder(path):
        filesystem.remove_tree(path)
    else:
        path.unlink(missing_ok=True)


def _pack(program: Path, tree: Path, image: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != squashfs.EPOCH}
    process.run(program, tree, image, *squashfs.MKSQUASHFS, env=environment, bound=True)


def _keep(image: Path, made: Path) -> None:
    """Give a finished image its name; a power cut leaves all of it or nothing."""
    with image.open("rb") as file:
        os.fchmod(file.fileno(), 0o444)
        os.fsync(file.fileno())
    image.rename(made)
    filesystem.sync_folder(made.parent)
