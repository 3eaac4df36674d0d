"""Which mount driver a machine allows: the decision alone, for `lamina doctor` and for mounting."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from lamina.core.errors import UserError

KERNEL = "kernel"
FUSE = "fuse"
NAMES = (KERNEL, FUSE)

# Asking for a file system that is a module loads it, so one that is absent here may still work;
# a name that is present certainly does.
_NEEDED = ("squashfs", "overlay")


class Choice(NamedTuple):
    """A mount driver, and why it is the one."""

    driver: str
    reason: str


def choose(wanted: str | None = None) -> Choice:
    """The driver asked for, else the best that this machine allows; UserError if unknown."""
    missing = [] if wanted or os.geteuid() else _missing()
    return decide(wanted, root=os.geteuid() == 0, missing=missing)


def decide(wanted: str | None, *, root: bool, missing: list[str]) -> Choice:
    """The rule itself; `missing` names what the kernel driver lacks here."""
    if wanted:
        if wanted not in NAMES:
            raise UserError(f"no mount driver is called `{wanted}`", hint=_names())
        return Choice(wanted, "asked for")
    if not root:
        return Choice(FUSE, "an ordinary user may not mount squashfs or attach loop devices")
    if missing:
        return Choice(FUSE, f"this kernel has no {', '.join(missing)}")
    return Choice(KERNEL, "root, with loop devices, squashfs and overlayfs in the kernel")


def _names() -> str:
    return f"one of: {', '.join(f'`{name}`' for name in NAMES)}"


def _missing() -> list[str]:
    missing = [] if os.access("/dev/loop-control", os.R_OK | os.W_OK) else ["loop devices"]
    return missing + [kind for kind in _NEEDED if not has_file_system(kind)]


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
