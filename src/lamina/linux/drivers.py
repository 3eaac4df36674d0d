"""Which mount driver a machine allows: the decision alone, for `lamina doctor` and for mounting."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lamina.core.errors import UserError
from lamina.linux import rights

KERNEL = "kernel"
FUSE = "fuse"
BTRFS = "btrfs"
COPY = "copy"
NAMES = (KERNEL, FUSE, BTRFS, COPY)

# Asking for a file system that is a module loads it, so one that is absent here may still work;
# a name that is present certainly does.
_NEEDED = ("squashfs", "overlay")


class Choice(NamedTuple):
    """A mount driver, and why it is the one."""

    driver: str
    reason: str


def choose(wanted: str | None = None) -> Choice:
    """The driver asked for, else the best that this machine allows; UserError if unknown."""
    if wanted:
        return decide(wanted, root=False, missing={})
    is_root = rights.may_mount()
    missing = {KERNEL: _missing_for_kernel() if is_root else [_not_root()]}
    if missing[KERNEL]:
        missing[FUSE] = missing_for_fuse()
    return decide(None, root=is_root, missing=missing)


def choose_to_stay(wanted: str | None = None) -> Choice:
    """The same for a mount that stays, in the caller's own namespace: by fusermount3 for a user."""
    choice = choose(wanted)
    if wanted or choice.driver != FUSE or rights.may_become_root():
        return choice
    return Choice(COPY, f"{choice.reason}; `fusermount3` gets no rights in this container")


def decide(wanted: str | None, *, root: bool, missing: Mapping[str, Sequence[str]]) -> Choice:
    """The rule itself; `missing` names what drivers lack here.

    `btrfs` has to be asked for: where it works, others do, and these unpack nothing.
    """
    if wanted:
        if wanted not in NAMES:
            raise UserError(f"no mount driver is called `{wanted}`", hint=_names())
        return Choice(wanted, "asked for")
    if root and not missing.get(KERNEL):
        return Choice(KERNEL, "root, with loop devices, squashfs and overlayfs in the kernel")
    lacks = missing.get(KERNEL, [_FOR_ROOT])
    reason = f"this machine lacks {', '.join(lacks)}" if root else lacks[0]
    if missing.get(FUSE):
        return Choice(COPY, f"{reason}; FUSE lacks {', '.join(missing[FUSE])}")
    return Choice(FUSE, reason)


_FOR_ROOT = "an ordinary user may not mount squashfs or attach loop devices"
_FOR_OTHER_ROOT = "root may not mount in this container"


def _not_root() -> str:
    return _FOR_ROOT if os.geteuid() else _FOR_OTHER_ROOT


def _names() -> str:
    return f"one of: {', '.join(f'`{name}`' for name in NAMES)}"


def _missing_for_kernel() -> list[str]:
    if sys.platform != "linux":
        return ["mounts of ours"]
    missing = [] if os.access("/dev/loop-control", os.R_OK | os.W_OK) else ["loop devices"]
    return missing + [kind for kind in _NEEDED if not has_file_system(kind)]


def missing_for_fuse() -> list[str]:
    """What mounting by FUSE lacks here, as far as it can be told at once."""
    missing = []
    if not _opens("/dev/fuse"):
        missing.append("`/dev/fuse`")
    if not _on_path("squashfuse_ll"):
        missing.append("`squashfuse_ll`")
    if not missing and not rights.may_mount() and not rights.may_isolate():
        missing.append("user namespaces")
    return missing


def _opens(device: str) -> bool:
    """Whether a device can be opened: a container may show one that it keeps closed."""
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _on_path(tool: str) -> bool:
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return any(os.access(f"{folder}/{tool}", os.X_OK) for folder in folders if folder)


def has_file_system(kind: str) -> bool:
    """Whether the kernel knows a file system, loading its module if it may."""
    known = Path("/proc/filesystems").read_text().split()
    return kind in known or _loads(kind)


def _loads(kind: str) -> bool:
    from lamina.linux import syscalls  # ctypes is dear, and this is seldom met

    try:
        os.close(syscalls.fsopen(kind))
    except OSError:
        return False
    return True
