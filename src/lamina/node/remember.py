"""Keeps what a start came to, for the next one (`node.warm`)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lamina.core.digest import Digest
from lamina.core.manifest import Package
from lamina.linux import drivers, filesystem
from lamina.node import find, launch, mounts, parts, plan
from lamina.store import derived, starts
from lamina.store.local import LocalStore
from lamina.store.trust import places

_WAYS = {drivers.KERNEL: plan.KERNEL, drivers.FUSE: plan.FUSE}


@dataclass(frozen=True, slots=True)
class Seen:
    """A reference, and the state of the files that tell what it names."""

    reference: str
    files: tuple[tuple[str, str], ...]


def see(reference: str, store: LocalStore) -> Seen:
    """To be called before the reference is looked up: what changes later is seen to change."""
    paths = [os.fspath(path) for path in find.places(reference, store)]
    return Seen(reference, tuple((path, starts.state(path)) for path in paths))


def remember(
    seen: Seen,
    package: Package,
    digest: Digest,
    images: Sequence[Path],
    store: LocalStore,
    driver: str | None,
) -> None:
    """Keep how a package is started on this machine's own root, by the driver that is chosen here.

    Every other start is found out each time. Raises what mounting raises.
    """
    place = starts.path(os.fspath(store.folder), seen.reference)
    usual = launch.choose(None)
    if package.base_layers or place is None or places.in_force() or driver not in (None, usual):
        return
    if usual not in _WAYS:
        return
    server = _squashfuse() if usual == drivers.FUSE else ""
    mounts.check_count(images)
    mounted = parts.images(plan.of(images, costs := _WAYS[usual]), costs.most)
    root = f"/packages/{package.title}"
    program, *arguments = package.entry_point
    start = starts.Start(
        digest.hash,
        package.title,
        server,
        [f"{root}/{program}", *arguments],
        [f"{name}={value}" for name, value in launch.variables(package, root, {}).items()],
        [_image(path) for path in mounted],
        [*seen.files, *((path, starts.state(path)) for path in (server,) if path)],
        _notes(mounted, store),
    )
    with contextlib.suppress(OSError):  # somebody else's store, or a full one
        if starts.read(os.fspath(store.folder), seen.reference) != start:
            filesystem.write_atomic(Path(place), starts.encode(start), scratch=store.scratch)


def _squashfuse() -> str:
    from lamina.linux import process  # dear, and the driver `kernel` does without

    return str(process.require("squashfuse_ll"))


def _image(path: Path) -> tuple[str, str, int, str]:
    with mounts.opened(path) as image:
        state = starts.of(os.fstat(image.descriptor))
        return os.fspath(path.absolute()), image.kind, image.offset, state


def _notes(images: Sequence[Path], store: LocalStore) -> list[str]:
    """The notes of merged images, whose time tells when these were used."""
    merged = store.folder / derived.MERGED
    names = [path.parent.name + path.name for path in images if path.parent.parent == merged]
    return [os.fspath(derived.note(name, store.folder)) for name in names]
