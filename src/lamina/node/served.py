"""Images served by processes, which are all known before; nothing dear is imported here."""

from __future__ import annotations

import os
from collections.abc import Sequence

from lamina.linux import fusemount, namespaces, rights, syscalls
from lamina.node import attach, keeper
from lamina.node.stack import stack


def command(squashfuse: str, image: str, offset: int) -> list[str]:
    """What serves an image file, from an offset in bytes on, to the device that it gets as 3."""
    return [squashfuse, "-f", "-o", f"offset={offset}", image, "/dev/fd/3"]


def stacked(squashfuse: str, images: Sequence[tuple[str, str, int]]) -> int:
    """A detached mount of images (path, kind, offset), bottom first, for who has none of its own.

    Folders are stacked as they are.

    Who may not mount is in a user namespace after that. Raises OSError and HostError.
    """
    if not rights.may_mount():
        namespaces.own_user()
    served = [(path, at) for path, kind, at in images if kind != attach.FOLDER]
    devices = [fusemount.opened() for _ in served]
    left = iter(devices)
    layers: list[int] = []
    try:
        # The keeper and the servers must not hold the mount namespace that they serve.
        commands = [command(squashfuse, path, offset) for path, offset in served]
        begin = keeper.ready(list(zip(commands, devices, strict=True)))
        try:
            namespaces.own_mounts()
            for path, kind, _ in images:
                if kind == attach.FOLDER:
                    layers.append(attach.open_folder(path))
                else:
                    layers.append(fusemount.detached(next(left), path, syscalls.READ_ONLY))
            os.write(begin, b"1")
        finally:
            os.close(begin)
            for device in devices:
                os.close(device)
        top = stack(layers, user=rights.in_user_namespace())
        os.fstatvfs(top)  # fails where no server answers
        return top
    finally:
        for layer in layers:
            os.close(layer)
