"""The driver `kernel`: images stacked by overlayfs; root only.

EROFS is mounted from its file where the kernel can do that (Linux 6.12, if it is configured), else
from a loop device, as squashfs always is.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from lamina.core.errors import HostError
from lamina.linux import loop, namespaces
from lamina.node import mounts, parts, plan
from lamina.node.stack import stack

_NOT_ROOT = "run as root, or let lamina choose the driver `fuse`"


class KernelDriver:
    """Mounts without any process that serves them: the kernel alone."""

    is_user = False

    def enter(self, *, writable: bool = False) -> None:  # noqa: ARG002 - root may always write
        """Move this process into a mount namespace of its own."""
        if os.geteuid():
            raise HostError("the mount driver `kernel` is for root", hint=_NOT_ROOT)
        namespaces.own_mounts()

    def stack(self, images: Sequence[Path], upper: mounts.Upper | None = None) -> int:
        """A detached mount of the images, bottom first; runs of small ones are merged before."""
        mounts.check_count(images)
        with contextlib.ExitStack() as held:
            layers = []
            known = loop.bound()
            for path in parts.images(plan.of(images, plan.KERNEL), mounts.MOST_LAYERS):
                layers.append(_layer(path, known))
                held.callback(os.close, layers[-1])
            try:
                return stack(layers, upper)
            except OSError as error:
                raise mounts.refused(f"{len(layers)} layers as one", error) from error


def _layer(path: Path, known: Mapping[str, Sequence[str]]) -> int:
    """A detached mount of one image; its loop device, if any, is gone when the last mount is.

    It is the file system itself that another job has mounted, with its caches, where a `known` loop
    device shows it. EROFS from a file can not be shared so; it is mounted in a third of the time.
    """
    try:
        with mounts.opened(path) as image:
            if image.kind == mounts.EROFS:
                try:
                    return _from_file(image)
                except OSError as error:
                    if error.errno not in _WANTS_A_DEVICE:
                        raise
            with loop.attached(image.descriptor, image.offset, str(path), known) as device:
                options = {"source": device, "ro": ""}
                return namespaces.detached(image.kind, options, mounts.READ_ONLY)
    except OSError as error:
        raise mounts.refused(f"`{path}`", error) from error


# What a kernel says that mounts EROFS from block devices alone.
_WANTS_A_DEVICE = (errno.ENOTBLK, errno.EINVAL, errno.ENOENT)


def _from_file(image: mounts.Image) -> int:
    # The open file, whatever its path names by now; that may be longer than a source can be, too.
    source = f"/proc/self/fd/{image.descriptor}"
    return namespaces.detached("erofs", {"source": source, "ro": ""}, mounts.READ_ONLY)
