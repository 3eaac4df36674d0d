"""The driver `btrfs`: packages as read-only subvolumes, each a snapshot of one with fewer layers.

    extracted/<layer>     the files of a layer, by number, in a subvolume
    joined/<layers>       a package, or the lowest runs of one, as a read-only subvolume

A package is cut into runs as for merging (`plan`). For each run there is a snapshot of what lies
below, onto which the run is laid; files share their extents with those of their layer. So packages
with the same lower layers have these in common, and a change makes the runs from its own on anew,
without unpacking another layer. The program sees the package's subvolume, bind-mounted.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from lamina.core.errors import HostError
from lamina.formats.compose import composed
from lamina.linux import btrfs
from lamina.node import jobs, lay, mounts, plan
from lamina.store import derived, local
from lamina.store.local import LocalStore

_SNAPSHOT = "lamina snapshot 1"  # part of every name
_RUN = 32  # layers of a run, about


def root(images: Sequence[Path], upper: mounts.Upper | None) -> Path:
    """Where a program finds its package; to be written to, a snapshot."""
    folder = package(images, local.default_folder())
    return folder if upper is None else _snapshot(folder, upper)


def package(images: Sequence[Path], folder: Path) -> Path:
    """A read-only subvolume with what the images show as a stack, bottom first."""
    mounts.check_count(images)
    names = [mounts.content(image, folder) for image in images]
    state = derived.of_subvolume
    keys = [(end, derived.key(_SNAPSHOT, names[:end])) for end in _ends(images)]
    if found := derived.kept(derived.JOINED, keys[-1][1], folder, state):
        return found
    with contextlib.closing(LocalStore(folder)) as store:
        _check(store)
        begin, below = 0, None
        for end, name in keys:
            found = derived.kept(derived.JOINED, name, folder, state)
            if found is None:
                _make(images[begin:end], below, name, names[:end], store)
            begin, below = end, derived.place(derived.JOINED, name, folder)
    assert below is not None
    return below


def _ends(images: Sequence[Path]) -> list[int]:
    """Where runs end, which only depends on the layers, and the end of all."""
    layers = map(plan.layer, images)
    found = [n for n, each in enumerate(layers, 1) if each.mark % _RUN == 0]
    return found if found and found[-1] == len(images) else [*found, len(images)]


def _check(store: LocalStore) -> None:
    """HostError where the store does not lie on btrfs."""
    if not btrfs.works(store.scratch):
        raise HostError(
            f"the store `{store.folder}` does not lie on btrfs",
            hint="set LAMINA_STORE to a folder on btrfs, or choose another `--driver`",
        )


def _make(
    images: Sequence[Path], below: Path | None, name: str, names: Sequence[str], store: LocalStore
) -> None:
    """Make a snapshot of a subvolume with some layers more."""
    layers = [lay.unpacked(image, store, btrfs.create) for image in images]
    roots = [layer.inside.root for layer in layers]
    making = derived.making(
        derived.JOINED, name, names, store, derived.of_subvolume, btrfs.set_read_only
    )
    with making as made:
        if made is None:
            return
        if below is None:
            btrfs.create(made)
        else:
            btrfs.snapshot(below, made)
        tree = composed(roots, is_bottom=below is None)
        lay.Laying(layers, lay.copy, writable=True).lay(tree, made)


def _snapshot(folder: Path, upper: mounts.Upper) -> Path:
    """A snapshot of the package's subvolume, for one job or in the folder that was told."""
    at = jobs.place(upper, local.default_folder(), folder.parent.name + folder.name)
    if not at.exists():
        try:
            btrfs.snapshot(folder, at)
        except OSError as error:
            raise HostError(
                f"can not make a snapshot at `{at}`: {error.strerror}",
                hint="with the driver `btrfs`, it is to be on the same file system as the store",
            ) from error
    return at
