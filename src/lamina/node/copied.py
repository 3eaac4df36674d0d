"""The driver `copy`: packages as folders of files, without any mount.

It works wherever there are files: for any user, on any POSIX system. Each layer is unpacked once, a
package joined of these once, by shared extents where the file system has them, else by hard links.
Because all jobs see the same files, no mode lets anybody write to them; root could all the same, so
whether anything was changed is looked at before each start.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from lamina.node import lay, mounts
from lamina.node.compose import composed
from lamina.store import derived
from lamina.store.local import LocalStore

_JOINED = "lamina joined 1"  # part of every name


def joined(images: Sequence[Path], folder: Path) -> Path:
    """A folder with what the images show as a stack, bottom first, kept in the store in a folder."""
    mounts.check_count(images)
    names = [mounts.content(image, folder) for image in images]
    name = derived.key(_JOINED, names)
    state = derived.of_folder
    if found := derived.kept(derived.JOINED, name, folder, state):
        return found
    with (
        contextlib.closing(LocalStore(folder)) as store,
        derived.making(derived.JOINED, name, names, store, state) as made,
    ):
        if made is not None:
            _lay(images, made, store, writable=False)
    return derived.place(derived.JOINED, name, folder)


def apart(images: Sequence[Path], at: Path, store: LocalStore) -> None:
    """The same as an own copy, which may be written to, in a folder that is not there yet."""
    mounts.check_count(images)
    _lay(images, at, store, writable=True)


def _lay(images: Sequence[Path], at: Path, store: LocalStore, *, writable: bool) -> None:
    layers = {image: lay.unpacked(image, store) for image in dict.fromkeys(images)}
    tree = composed([layers[image].inside.root for image in images], is_bottom=True)
    at.mkdir(0o700)
    place = lay.copy if writable else lay.link
    lay.Laying([layers[image] for image in images], place, writable=writable).lay(tree, at)
