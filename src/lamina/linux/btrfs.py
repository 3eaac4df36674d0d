"""Subvolumes of btrfs, by ioctl: no program, and where the file system allows it no root.

The numbers and structures are those of linux/btrfs.h.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from struct import Struct

from lamina.linux import filesystem

_CREATE = 0x5000940E
_DESTROY = 0x5000940F
_SNAPSHOT = 0x50009417
_GET_FLAGS = 0x80089419
_SET_FLAGS = 0x4008941A
_READ_ONLY = 2
_ROOT = 256  # the inode of each subvolume's root

_ARGUMENTS = Struct("<q4088s")  # descriptor, name
_SNAPSHOT_ARGUMENTS = Struct("<3Q 4Q 4040s")  # descriptor, transaction, flags, unused, name
_FLAGS = Struct("<Q")


def create(path: Path) -> None:
    """Make an empty subvolume. Raises OSError (ENOTTY: this is no btrfs)."""
    _call(path.parent, _CREATE, _ARGUMENTS.pack(0, os.fsencode(path.name)))


def snapshot(source: Path, path: Path) -> None:
    """Make a writable snapshot of a subvolume of the same file system."""
    descriptor = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        name = os.fsencode(path.name)
        _call(path.parent, _SNAPSHOT, _SNAPSHOT_ARGUMENTS.pack(descriptor, 0, 0, 0, 0, 0, 0, name))
    finally:
        os.close(descriptor)


def works(folder: Path) -> bool:
    """Whether subvolumes can be made in a folder: one is, and removed."""
    probe = Path(filesystem.fresh_name(folder))
    try:
        create(probe)
        remove(probe)
    except OSError:
        return False
    return True


def is_subvolume(path: Path) -> bool:
    """Whether a folder is the root of a subvolume."""
    try:
        return path.lstat().st_ino == _ROOT and _flags(path) is not None
    except OSError:
        return False


def is_read_only(path: Path) -> bool:
    """Whether nobody, not even root, can write in a subvolume."""
    return bool((_flags(path) or 0) & _READ_ONLY)


def _flags(path: Path) -> int | None:
    try:
        return int(_FLAGS.unpack(_call(path, _GET_FLAGS, bytes(8)))[0])
    except OSError:
        return None


def set_read_only(path: Path, *, to: bool = True) -> None:
    """Let nobody write in a subvolume, or let its owner do so again."""
    flags = (_flags(path) or 0) & ~_READ_ONLY
    _call(path, _SET_FLAGS, _FLAGS.pack(flags | (_READ_ONLY if to else 0)))


def remove(path: Path) -> None:
    """Remove a subvolume with all in it; a user who may not do that at once, file by file."""
    try:
        _call(path.parent, _DESTROY, _ARGUMENTS.pack(0, os.fsencode(path.name)))
    except PermissionError:
        set_read_only(path, to=False)
        filesystem.remove_tree(path)


def _call(folder: Path, number: int, argument: bytes) -> bytes:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        changed = bytearray(argument)
        fcntl.ioctl(descriptor, number, changed)
        return bytes(changed)
    finally:
        os.close(descriptor)
