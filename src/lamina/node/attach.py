"""Image files as detached mounts of the kernel; nothing dear is imported here.

EROFS is mounted from its file where the kernel can do that (Linux 6.12, if it is configured), else
from a loop device, as squashfs always is.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence

from lamina.linux import loop, namespaces, syscalls

SQUASHFS, EROFS = "squashfs", "erofs"

# What a kernel says that mounts EROFS from block devices alone.
_WANTS_A_DEVICE = (errno.ENOTBLK, errno.EINVAL, errno.ENOENT)


def layer(image: int, kind: str, offset: int, name: str, known: Mapping[str, Sequence[str]]) -> int:
    """A detached mount of an open image, whose file system of a `kind` starts at `offset` bytes.

    Its loop device, if any, is gone when the last mount is. It is the file system itself that
    another job has mounted, with its caches, where a `known` loop device (`loop.bound`) shows it.
    EROFS from a file can not be shared so; it is mounted in a third of the time. Raises OSError.
    """
    if kind == EROFS:
        try:
            return _from_file(image)
        except OSError as error:
            if error.errno not in _WANTS_A_DEVICE:
                raise
    with loop.attached(image, offset, name, known) as device:
        return namespaces.detached(kind, {"source": device, "ro": ""}, syscalls.READ_ONLY)


def _from_file(image: int) -> int:
    # The open file, whatever its path names by now; that may be longer than a source can be, too.
    source = f"/proc/self/fd/{image}"
    return namespaces.detached("erofs", {"source": source, "ro": ""}, syscalls.READ_ONLY)
