"""Loop devices: a file as a read-only block device that detaches itself.

The ioctls and structures are those of linux/loop.h; LOOP_CONFIGURE wants Linux 5.8.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from struct import Struct

from lamina.core.errors import HostError

_LOOP_CTL_GET_FREE = 0x4C82
_LOOP_CONFIGURE = 0x4C0A
_READ_ONLY = 1
_AUTOCLEAR = 4

# fd, block size | device, inode, rdevice, offset, size limit | number, encryption type and key
# size, flags | file name, crypt name, key | init | reserved
_CONFIG = Struct("<2I 5Q 4I 64s 64s 32s 2Q 8Q")

# Between GET_FREE and CONFIGURE another process may take the same device: then EBUSY, and again.
_ATTEMPTS = 1000


@contextlib.contextmanager
def attached(image: int, offset: int, name: str) -> Iterator[str]:
    """The path of a loop device over an open file from `offset` on.

    After the block the device lives as long as something is mounted from it, and no longer.
    """
    device, path = _attach(image, offset, os.fsencode(name)[-63:])
    try:
        yield path
    finally:
        os.close(device)


def _attach(image: int, offset: int, name: bytes) -> tuple[int, str]:
    flags = _READ_ONLY | _AUTOCLEAR
    config = _CONFIG.pack(
        image, 0, 0, 0, 0, offset, 0, 0, 0, 0, flags, name, b"", b"", 0, 0, *([0] * 8)
    )  # fmt: skip
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_ATTEMPTS):
            path = f"/dev/loop{fcntl.ioctl(control, _LOOP_CTL_GET_FREE)}"
            device = _configure(path, config)
            if device is not None:
                return device, path
    finally:
        os.close(control)
    raise HostError(
        f"no loop device could be had in {_ATTEMPTS} attempts",
        hint="see `losetup --list` for who holds them",
    )


def _configure(path: str, config: bytes) -> int | None:
    """The device, opened and bound to its file; None if another process was quicker."""
    device = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(device, _LOOP_CONFIGURE, config)
    except OSError as error:
        os.close(device)
        if error.errno == errno.EBUSY:
            return None
        raise
    return device
