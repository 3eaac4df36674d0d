"""Launchers of programs in Python, which a node's own can start without a shell."""

from __future__ import annotations

import os
from pathlib import Path

from lamina.core.errors import IntegrityError
from lamina.core.manifest import Package
from lamina.formats import launcher, squashreader
from lamina.formats.inodes import File
from lamina.node import mounts

_LARGEST = 1 << 14  # bytes


def known(package: Package, layer: Path) -> list[str]:
    """The launcher's text, the interpreter's path and the bootstrap's; nothing of other launchers.

    `layer` is the file or the folder of the program's own layer.
    """
    name = package.entry_point[0]
    try:
        text = _in_folder(layer / name) if layer.is_dir() else _in_image(layer, name.encode())
    except (IntegrityError, OSError):
        return []  # it is in another layer, or damaged: what starts it has to say so
    found = launcher.started_by(text)
    return [] if found is None else [text.decode(), *found]


def _in_folder(path: Path) -> bytes:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        return os.read(file, _LARGEST)
    finally:
        os.close(file)


def _in_image(path: Path, name: bytes) -> bytes:
    with mounts.opened(path) as image:
        if image.kind != mounts.SQUASHFS:
            return b""
        reader = squashreader.Image(image.descriptor, image.offset)
        found = reader.root({name: None}).entries[name]
        if not isinstance(found, File) or found.size > _LARGEST:
            return b""
        return b"".join(map(bytes, reader.chunks(found)))  # of a hole, its length is told
