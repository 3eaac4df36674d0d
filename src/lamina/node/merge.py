"""Merging: layers become one squashfs image, made once, where to stack them is dear or refused.

It holds what overlayfs would show (`compose`), with owners, modes, times and attributes as the
layers have them. The data of files is copied as it lies in the layers; only the tables are made
anew (`formats/squashwriter`). So no program is needed, nor any right, and small layers take less
time than the kernel needs to mount them.

Layers of another kind, or packed in another way than the rest, are packed again before (`repack`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.core.errors import IntegrityError
from lamina.linux import filesystem
from lamina.node import mounts
from lamina.store import derived, verified
from lamina.store.local import LocalStore

if TYPE_CHECKING:
    from lamina.node.inside import Inside

# Part of every name: what is made otherwise is something else.
_FORMAT = "lamina merged 2"
_PART = "lamina merged 2, with marks for layers below"


def merged(images: Sequence[Path], folder: Path, *, is_bottom: bool = True) -> Path:
    """One squashfs image with what the images show as a stack, bottom first.

    A single squashfs image is itself. Where other layers lie below, it keeps the marks of what the
    images hide in those.

    `folder` is the store that keeps it, named by the images' contents in their order. Of several
    processes that want it one makes it and the others wait.
    """
    if len(images) == 1:
        return _alone(images[0], folder)
    if found := kept(images, folder, is_bottom=is_bottom):
        return found
    name, names = _name(images, folder, is_bottom=is_bottom)
    with (
        contextlib.closing(LocalStore(folder)) as store,
        derived.making(derived.MERGED, name, names, store) as made,
    ):
        if made is not None:
            verified.members(names, store)
            _make(images, made, store, is_bottom=is_bottom)
    return derived.place(derived.MERGED, name, folder)


def kept(images: Sequence[Path], folder: Path, *, is_bottom: bool = True) -> Path | None:
    """The image that `merged` has made of several, if it is there."""
    name, _ = _name(images, folder, is_bottom=is_bottom)
    return derived.kept(derived.MERGED, name, folder)


def _name(images: Sequence[Path], folder: Path, *, is_bottom: bool) -> tuple[str, list[str]]:
    names = [mounts.content(image, folder) for image in images]
    return derived.key(_FORMAT if is_bottom else _PART, names), names


def _alone(image: Path, folder: Path) -> Path:
    if mounts.kind(image) == mounts.SQUASHFS:
        return image
    from lamina.node import repack

    with contextlib.closing(LocalStore(folder)) as store:
        return repack.repacked(image, store)


def _make(images: Sequence[Path], made: Path, store: LocalStore, *, is_bottom: bool) -> None:
    from lamina.formats import squashwriter
    from lamina.formats.compose import composed

    # Of a layer that is there twice only the upper shows anything: what the lower shows, and what
    # it hides, the upper does too. A package could name one thousands of times.
    found = _alike(list(reversed(dict.fromkeys(reversed(images)))), store)
    paths = [path for path, _ in found]
    tree = composed([inside.root for _, inside in found], is_bottom=is_bottom)
    target = os.open(made, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def copy(number: int, begin: int, size: int, place: int) -> None:
        with mounts.opened(paths[number]) as image:
            done = filesystem.copy_range(
                image.descriptor, image.offset + begin, size, target, place
            )
        if done != size:
            raise IntegrityError(f"`{paths[number]}` is cut off")

    try:
        squashwriter.write(target, tree, [inside.reader for _, inside in found], copy)
        os.fchmod(target, 0o444)
        os.fsync(target)
    finally:
        os.close(target)


def _alike(images: Sequence[Path], store: LocalStore) -> list[tuple[Path, Inside]]:
    """Images that have what these have, in one form, and what is in them."""
    from lamina.node.inside import look

    seen = {image: look(image) for image in images}
    known = {image: (image, inside) for image, inside in seen.items() if inside}
    if len(known) == len(seen) and len({each.reader.form for _, each in known.values()}) == 1:
        return [known[image] for image in images]
    from lamina.node.repack import USUAL, readable  # needs tools, and modules to start them

    forms = {inside.reader.form if inside else None for inside in seen.values()}
    form = forms.pop() if len(forms) == 1 else USUAL
    found: dict[Path, tuple[Path, Inside]] = {}
    for image, inside in seen.items():
        if inside and inside.reader.form == form:
            found[image] = image, inside
        else:
            found[image] = readable(image, store)
    return [found[image] for image in images]
