"""The driver `kernel`: images stacked by overlayfs; root only."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from lamina.core.errors import HostError
from lamina.linux import loop, namespaces, rights
from lamina.node import attach, mounts, parts, plan
from lamina.node.stack import stack

_NOT_ROOT = "run as root outside of containers, or let lamina choose the driver"


class KernelDriver:
    """Mounts without any process that serves them: the kernel alone."""

    is_user = False

    def enter(self, *, writable: bool = False) -> None:  # noqa: ARG002 - root may always write
        """Move this process into a mount namespace of its own."""
        if not rights.may_mount():
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
    try:
        if path.is_dir():
            return attach.open_folder(path)
        with mounts.opened(path) as image:
            return attach.layer(image.descriptor, image.kind, image.offset, str(path), known)
    except OSError as error:
        raise mounts.refused(f"`{path}`", error) from error
