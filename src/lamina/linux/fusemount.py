"""FUSE mounts of a device that is open; nothing dear is imported here."""

from __future__ import annotations

import fcntl
import os

from lamina.linux import namespaces

_STANDARD = 2  # the last of the standard streams


def opened() -> int:
    """/dev/fuse, for one connection; raises OSError.

    Never a standard stream, also where the caller has closed one: a server has its own of these.
    """
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    if device > _STANDARD:
        return device
    try:
        return fcntl.fcntl(device, fcntl.F_DUPFD_CLOEXEC, _STANDARD + 1)
    finally:
        os.close(device)


def detached(device: int, source: str, attributes: int) -> int:
    """A detached mount that is served by who reads the device; raises OSError.

    The caller may mount: it is root, or has a user and a mount namespace of its own. Until the
    server answers, every access waits; when the last copy of the device closes, it fails.
    """
    options = {
        "source": source,
        "fd": str(device),
        "rootmode": "40000",
        "user_id": str(os.geteuid()),
        "group_id": str(os.getegid()),
        "default_permissions": "",
        "allow_other": "",
    }
    return namespaces.detached("fuse", options, attributes)
