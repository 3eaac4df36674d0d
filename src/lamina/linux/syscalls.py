"""System calls for mounts and namespaces that Python's library lacks: thin, and no policy.

Each raises OSError with errno and, where there is one, the path. Descriptors are close-on-exec.
"""

from __future__ import annotations

import ctypes
import errno
import os

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
MNT_DETACH = 2

MOUNT_ATTR_RDONLY = 1
MOUNT_ATTR_NOSUID = 2
MOUNT_ATTR_NODEV = 4

# Of what is mounted for a program: no setuid program in it gives rights, no device node opens.
WRITABLE = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV
READ_ONLY = MOUNT_ATTR_RDONLY | WRITABLE

AT_FDCWD = -100

_AT_SYMLINK_NOFOLLOW = 0x100
_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH = 4
_MOVE_MOUNT_T_EMPTY_PATH = 0x40
_FSCONFIG_SET_FLAG = 0
_FSCONFIG_SET_STRING = 1
_FSCONFIG_SET_FD = 5
_FSCONFIG_CMD_CREATE = 6
_MADV_POPULATE_WRITE = 23
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_SECCOMP = 22
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITIES_V3 = 0x20080522

# Calls since Linux 5.2 have one number on every architecture; pivot_root is older than that habit.
_OPEN_TREE = 428
_MOVE_MOUNT = 429
_FSOPEN = 430
_FSCONFIG = 431
_FSMOUNT = 432
_MOUNT_SETATTR = 442
_PIVOT_ROOT = {"x86_64": 155, "ppc64le": 203, "s390x": 217}.get(os.uname().machine, 41)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _MountAttr(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def _check(result: int, path: str | None = None) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path)
    return result


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else os.fsencode(text)


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """mount(2): for propagation, and for kernels whose overlay knows only an option string."""
    arguments = (_bytes(source), _bytes(target), _bytes(kind), ctypes.c_ulong(flags), _bytes(data))
    _check(_libc.mount(*arguments), target)


def umount(target: str, flags: int = 0) -> None:
    """umount2(2)."""
    _check(_libc.umount2(_bytes(target), flags), target)


def unshare(flags: int) -> None:
    """unshare(2); a new user namespace wants a process with a single thread (else EINVAL)."""
    _check(_libc.unshare(flags))


def setns(descriptor: int, kind: int = 0) -> None:
    """setns(2): join the namespace behind a descriptor."""
    _check(_libc.setns(descriptor, kind))


def pivot_root(new: str, old: str) -> None:
    """pivot_root(2)."""
    _check(_libc.syscall(_PIVOT_ROOT, _bytes(new), _bytes(old)), new)


def fsopen(kind: str) -> int:
    """A configuration context for a new file system of that kind (ENODEV: kernel lacks it)."""
    return _check(_libc.syscall(_FSOPEN, _bytes(kind), 1), kind)


def fsconfig_string(context: int, key: str, value: str) -> None:
    """Set `key=value`; a value has at most 255 bytes."""
    _configure(context, _FSCONFIG_SET_STRING, key, _bytes(value), 0)


def fsconfig_flag(context: int, key: str) -> None:
    """Set an option without a value."""
    _configure(context, _FSCONFIG_SET_FLAG, key, None, 0)


def fsconfig_fd(context: int, key: str, descriptor: int) -> None:
    """Set an option to an open file (EINVAL: this kernel wants a string)."""
    _configure(context, _FSCONFIG_SET_FD, key, None, descriptor)


def fsconfig_create(context: int) -> None:
    """Make the file system as configured."""
    _configure(context, _FSCONFIG_CMD_CREATE, None, None, 0)


def _configure(context: int, command: int, key: str | None, value: bytes | None, aux: int) -> None:
    result = _libc.syscall(_FSCONFIG, context, command, _bytes(key), value, aux)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, _complaint(context) or os.strerror(code), key)


def _complaint(context: int) -> str:
    """What the kernel wrote about a failed configuration, in its own words."""
    try:
        return os.read(context, 4096).decode(errors="replace").strip().removeprefix("e ")
    except OSError as error:
        if error.errno == errno.ENODATA:
            return ""
        raise


def fsmount(context: int, attributes: int) -> int:
    """A detached mount of a made file system: it is gone when the descriptor closes."""
    return _check(_libc.syscall(_FSMOUNT, context, 1, attributes))


def open_tree(path: str, *, recursive: bool = True, at: int = AT_FDCWD) -> int:
    """A detached copy of the mount at a path (a bind mount), with all below it if `recursive`.

    An empty path means the descriptor `at` itself.
    """
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | (_AT_SYMLINK_NOFOLLOW if path else _AT_EMPTY_PATH)
    if recursive:
        flags |= _AT_RECURSIVE
    return _check(_libc.syscall(_OPEN_TREE, at, _bytes(path), flags), path or None)


def move_mount(source: int, target: str, *, at: int = AT_FDCWD) -> None:
    """Attach a detached mount at a path; an empty path means the descriptor `at` itself."""
    flags = _MOVE_MOUNT_F_EMPTY_PATH | (0 if target else _MOVE_MOUNT_T_EMPTY_PATH)
    _check(_libc.syscall(_MOVE_MOUNT, source, b"", at, _bytes(target), flags), target or None)


def mount_setattr(descriptor: int, attributes: int, *, recursive: bool = False) -> None:
    """Set attributes (read-only, nosuid, nodev) of an open mount, and of those below it."""
    wanted = _MountAttr(attr_set=attributes)
    size = ctypes.sizeof(wanted)
    flags = _AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0)
    call = (_MOUNT_SETATTR, descriptor, b"", flags, ctypes.byref(wanted), size)
    _check(_libc.syscall(*call))


def sync_file_system(descriptor: int) -> None:
    """Have all on the disk that was written to the file system of an open file (syncfs)."""
    _check(_libc.syncfs(descriptor))


def populate(begin: int, size: int) -> None:
    """Let so many bytes of this process's memory, from an address on, be there to be written to."""
    _check(_libc.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(size), _MADV_POPULATE_WRITE))


def file_system_kind(path: str) -> int:
    """The magic number of the file system that a path lies on, as statfs(2) lists them."""
    found = (ctypes.c_long * 32)()  # `struct statfs` begins with it, and has less than that
    _check(_libc.statfs(_bytes(path), ctypes.byref(found)), path)
    return int(found[0])


def die_with_parent(signal: int) -> None:
    """Get this signal when the thread that started this process ends (PR_SET_PDEATHSIG)."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal), 0, 0, 0))


def hide() -> None:
    """Let no other process without rights look into this one, until its next exec."""
    _check(_libc.prctl(_PR_SET_DUMPABLE, ctypes.c_ulong(0), 0, 0, 0))


def no_new_privileges() -> None:
    """Let no exec of this process or its children bring rights (PR_SET_NO_NEW_PRIVS)."""
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), 0, 0, 0))


def drop_capabilities() -> None:
    """Give up all capabilities, also those that an exec could bring back."""
    for number in range(64):
        if _libc.prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(number), 0, 0, 0) < 0:
            break  # the kernel knows no more
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_V3, 0)
    _check(_libc.capset(header, (ctypes.c_uint32 * 6)()))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def filter_system_calls(program: bytes) -> None:
    """Apply a compiled filter (struct sock_filter, 8 bytes each) to this process for good."""
    wanted = _Program(len(program) // 8, program)
    _check(_libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(2), ctypes.byref(wanted), 0, 0))
