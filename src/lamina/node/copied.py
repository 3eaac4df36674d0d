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

from lamina.formats.compose import composed
from lamina.linux import filesystem
from lamina.node import jobs, lay, mounts
from lamina.store import derived, local
from lamina.store.local import LocalStore

_JOINED = "lamina joined 1"  # part of every name
_ROOT = "root"


def joined(images: Sequence[Path], folder: Path) -> Path:
    """A folder with what the images show as a stack, bottom first; `folder` is the store's."""
    mounts.check_count(images)
    names, name = _name(images, folder)
    state = derived.of_folder
    # The package's own root may be one that its owner can not move, so it lies one deeper.
    if found := derived.kept(derived.JOINED, name, folder, state):
        return found / _ROOT
    with (
        contextlib.closing(LocalStore(folder)) as store,
        derived.making(derived.JOINED, name, names, store, state) as made,
    ):
        if made is not None:
            made.mkdir(0o755)
            _lay(images, made / _ROOT, store, writable=False)
    return derived.place(derived.JOINED, name, folder) / _ROOT


def _name(images: Sequence[Path], folder: Path) -> tuple[list[str], str]:
    names = [mounts.content(image, folder) for image in images]
    return names, derived.key(_JOINED, names)


def root(images: Sequence[Path], upper: mounts.Upper | None) -> Path:
    """Where a program finds its package; to be written to, an own copy that ends with it."""
    folder = local.default_folder()
    if upper is None:
        return joined(images, folder)
    at = jobs.place(upper, folder, _name(images, folder)[1])
    if not at.exists():
        made = at.with_name(f"{at.name}.new")
        filesystem.remove_tree(made)
        with contextlib.closing(LocalStore(folder)) as store:
            _lay(images, made, store, writable=True)
        made.rename(at)
    return at


def _lay(images: Sequence[Path], at: Path, store: LocalStore, *, writable: bool) -> None:
    layers = {image: lay.unpacked(image, store) for image in dict.fromkeys(images)}
    tree = composed([layers[image].inside.root for image in images], is_bottom=True)
    at.mkdir(0o700)
    place = lay.copy if writable else lay.link
    lay.Laying([layers[image] for image in images], place, writable=writable).lay(tree, at)
