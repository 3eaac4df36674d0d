"""Layers as detached mounts of the kernel; nothing dear is imported here.

EROFS is mounted from its file where the kernel can do that (Linux 6.12, if it is configured), else
from a loop device, as squashfs always is.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence

from lamina.linux import loop, namespaces, syscalls

SQUASHFS, EROFS, FOLDER = "squashfs", "erofs", "folder"

# What a kernel says that mounts EROFS from block devices alone.
_WANTS_A_DEVICE = (errno.ENOTBLK, errno.EINVAL, errno.ENOENT)


def layer(image: int, kind: str, offset: int, name: str, known: Mapping[str, Sequence[str]]) -> int:
    """A detached mount of an open image, whose file system of a `kind` starts at `offset` bytes.

    Or of an open folder, if that is the kind.

    Its loop device, if any, is gone when the last mount is. It is the file system itself that
    another job has mounted, with its caches, where a `known` loop device (`loop.bound`) shows it.
    EROFS from a file can not be shared so; it is mounted in a third of the time. Raises OSError.
    """
    if kind == FOLDER:
        return folder(image)
    if kind == EROFS:
        try:
            return _from_file(image)
        except OSError as error:
            if error.errno not in _WANTS_A_DEVICE:
                raise
    with loop.attached(image, offset, name, known) as device:
        return namespaces.detached(kind, {"source": device, "ro": ""}, syscalls.READ_ONLY)


def open_folder(path: str | os.PathLike[str]) -> int:
    """A detached mount of a folder, to be read alone. Raises OSError."""
    opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        return folder(opened)
    finally:
        os.close(opened)


def folder(descriptor: int) -> int:
    """A detached mount of an open folder, to be read alone. Raises OSError."""
    mount = syscalls.open_tree("", recursive=False, at=descriptor)
    try:
        syscalls.mount_setattr(mount, syscalls.READ_ONLY)
    except OSError:
        os.close(mount)
        raise
    return mount


def _from_file(image: int) -> int:
    # The open file, whatever its path names by now; that may be longer than a source can be, too.
    source = f"/proc/self/fd/{image}"
    return namespaces.detached("erofs", {"source": source, "ro": ""}, syscalls.READ_ONLY)
