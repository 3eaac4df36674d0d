"""Loop devices: a file as a read-only block device that detaches itself.

The ioctls and structures are those of linux/loop.h; LOOP_CONFIGURE wants Linux 5.8.

Who mounts a device that is mounted already gets the same file system, with what is cached of it. So
a device that another process has made of the same file is used again. It cannot go meanwhile: it
detaches itself when its last user closes it, and that is us from the moment we open it. What it
shows is asked of the open device, after that; one that was let go before says that it has no file.

Direct I/O is not asked for. It spares the second copy, in the cache of the file, of what is
compressed anyway, but takes reading ahead with it: to read all of a layer took 2.3 times as long
from the disk, and 2.9 times where the file was in the cache (docs/mounting.md).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from struct import Struct

from lamina.core.errors import HostError

_LOOP_CTL_GET_FREE = 0x4C82
_LOOP_CONFIGURE = 0x4C0A
_LOOP_GET_STATUS = 0x4C05
_DEVICES = "/sys/devices/virtual/block"
_SIZED = "/proc/partitions"
_READ_ONLY = 1
_AUTOCLEAR = 4

# fd, block size | device, inode, rdevice, offset, size limit | number, encryption type and key
# size, flags | file name, crypt name, key | init | reserved
_CONFIG = Struct("<2I 5Q 4I 64s 64s 32s 2Q 8Q")

# device, inode, rdevice, offset, size limit | number, encryption type, key size, flags | the rest
_STATUS = Struct("<5Q 4I 176x")

# Between GET_FREE and CONFIGURE another process may take the same device: then EBUSY, and again.
_ATTEMPTS = 1000


def bound() -> dict[str, list[str]]:
    """The paths of loop devices by the last part of the name of their file, as far as one sees."""
    found: dict[str, list[str]] = {}
    # A machine can have hundreds of devices, of which next to none has a file, and so a size.
    for line in _told(_SIZED).splitlines():
        device = line.rpartition(" ")[2]
        if device.startswith("loop"):
            with contextlib.suppress(OSError):  # its file has gone meanwhile
                path = _told(f"{_DEVICES}/{device}/loop/backing_file").strip()
                found.setdefault(path.rpartition("/")[2], []).append(f"/dev/{device}")
    return found


def _told(file: str) -> str:
    try:
        with open(file, errors="surrogateescape") as opened:  # noqa: PTH123 - pathlib is dear
            return opened.read()
    except FileNotFoundError:
        return ""


@contextlib.contextmanager
def attached(
    image: int, offset: int, name: str, known: Mapping[str, Sequence[str]] | None = None
) -> Iterator[str]:
    """The path of a loop device over an open file from `offset` on.

    It is one of the `known` ones (`bound`), where one shows just that. After the block the device
    lives as long as something is mounted from it, and no longer.
    """
    for path in (known or {}).get(name.rpartition("/")[2], ()):
        device = _same(path, image, offset)
        if device is not None:
            break
    else:
        device, path = _attach(image, offset, os.fsencode(name)[-63:])
    try:
        yield path
    finally:
        os.close(device)


def _same(path: str, image: int, offset: int) -> int | None:
    """The device, opened, if it shows that file from there on; None if not, or not any more."""
    try:
        device = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        told = fcntl.ioctl(device, _LOOP_GET_STATUS, bytes(_STATUS.size))
        number, inode, _, begin, limit, _, _, _, flags = _STATUS.unpack(told)
        status = os.fstat(image)
        wanted = (status.st_dev, status.st_ino, offset, 0, _READ_ONLY | _AUTOCLEAR)
        if (number, inode, begin, limit, flags) == wanted:
            return device
    except OSError as error:
        if error.errno != errno.ENXIO:
            os.close(device)
            raise
    os.close(device)
    return None


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
