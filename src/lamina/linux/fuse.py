"""FUSE connections: a mount whose contents come from a process that reads /dev/fuse.

https://docs.kernel.org/filesystems/fuse/fuse.html; fusermount3's way of handing over the
descriptor is the one that libfuse itself uses (mount.c).
"""

from __future__ import annotations

import errno
import os
import socket
import subprocess
from pathlib import Path

from lamina.core.errors import HostError
from lamina.linux import fusemount, process, rights

_DEVICE_HINT = "as root: `modprobe fuse` and `chmod 666 /dev/fuse`"
_ENGLISH = {"LC_ALL": "C"}
_NO_RIGHTS = "`fusermount3` gets no rights in this container; `--driver copy` needs none to mount"


def connect(source: str, attributes: int) -> tuple[int, int]:
    """A detached FUSE mount (`fusemount.detached`), and the /dev/fuse that its server reads."""
    try:
        device = fusemount.opened()
    except OSError as error:
        raise HostError(f"can not open /dev/fuse: {error.strerror}", hint=_DEVICE_HINT) from error
    try:
        return fusemount.detached(device, source, attributes), device
    except OSError:
        os.close(device)
        raise


def mount(where: Path, source: str, subtype: str) -> int:
    """Mount by fusermount3 in the caller's own namespace; the /dev/fuse that its server reads."""
    # An option list is split at commas, and the table of mounts at blanks.
    name = "".join("_" if letter in ", \\\n\t" else letter for letter in source)
    options = f"ro,nosuid,nodev,default_permissions,fsname={name},subtype={subtype}"
    ours, theirs = socket.socketpair()
    with ours, theirs:
        helper = process.spawn(
            [str(process.require("fusermount3")), "-o", options, "--", str(where)],
            env={**os.environ, "_FUSE_COMMFD": str(theirs.fileno())},
            stderr=subprocess.PIPE,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 1, socket.MSG_CMSG_CLOEXEC)
        words = helper.communicate()[1].decode(errors="replace").strip()
    if helper.returncode or not descriptors:
        hint = _DEVICE_HINT if rights.may_become_root() else _NO_RIGHTS
        raise HostError(f"can not mount FUSE at `{where}`: {words}", hint=hint)
    return descriptors[0]


def unmount(where: Path) -> None:
    """Take down a mount of fusermount3; OSError if it is busy, HostError with its words else."""
    done = process.run("fusermount3", "-u", "--", where, ok=(0, 1), env={**os.environ, **_ENGLISH})
    if not done.returncode:
        return
    words = done.stderr.decode(errors="replace").strip()
    if words.endswith(os.strerror(errno.EBUSY)):
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(where))
    # It looks there, and nowhere else, for whose mount it is.
    lacking = "open /etc/mtab" in words
    hint = "as root: `ln -s /proc/self/mounts /etc/mtab`" if lacking else None
    raise HostError(f"can not unmount `{where}`: {words}", hint=hint)
