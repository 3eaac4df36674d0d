"""Keeps what a start came to, for the next one (`node.warm`)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.core.classes import dataclass
from lamina.core.digest import Digest
from lamina.core.errors import LaminaError
from lamina.core.manifest import Package
from lamina.linux import drivers, filesystem
from lamina.node import attach, find, launch, laying, mounts, parts, plan
from lamina.store import derived, starts
from lamina.store.local import LocalStore
from lamina.store.trust import places

if TYPE_CHECKING:
    from lamina.node.laid import Candidate
    from lamina.node.walls import Walls


@dataclass(frozen=True, slots=True)
class Seen:
    """Words of `lamina exec`, and the state of the files that tell what its reference names."""

    words: tuple[str, ...]
    files: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Contained:
    """How a container runs, the variables of its program but for those from outside, and why so."""

    walls: Walls
    variables: Mapping[str, str]
    reasons: tuple[tuple[str, str], ...]  # facts that have a say in it, by kind


def see(reference: str, words: Sequence[str], store: LocalStore) -> Seen:
    """To be called before the reference is looked up: what changes later is seen to change."""
    paths = [os.fspath(path) for path in find.places(reference, store)]
    return Seen(tuple(words), tuple((path, starts.state(path)) for path in paths))


def remember(
    seen: Seen,
    package: Package,
    digest: Digest,
    images: Sequence[Path],
    store: LocalStore,
    driver: str | None,
    contained: Contained | None = None,
    mounted: Sequence[Path] | None = None,
) -> None:
    """Keep how a package is started on this machine's own root, by the driver that is chosen here.

    Every other start is found out each time. `mounted` is what is mounted of the images, where that
    is known. Raises what mounting raises.
    """
    place = starts.path(os.fspath(store.folder), seen.words)
    usual = launch.choose(None)
    if package.base_layers or place is None or places.in_force() or driver not in (None, usual):
        return
    if usual not in plan.BY_DRIVER:
        return
    server = _squashfuse() if usual == drivers.FUSE else ""
    mounts.check_count(images)
    if not mounted:
        mounted = parts.images(plan.of(images, costs := plan.BY_DRIVER[usual]), costs.most)
    root = f"/packages/{package.title}"
    program, *arguments = package.entry_point
    own = launch.variables(package, root, {}) if contained is None else contained.variables
    reasons = [*_reasons(images, server), *(contained.reasons if contained is not None else ())]
    start = starts.Start(
        digest.hash,
        package.title,
        server,
        [f"{root}/{program}", *arguments],
        [f"{name}={value}" for name, value in own.items()],
        [_image(path) for path in mounted],
        [*((starts.FILE, path, state) for path, state in seen.files), *_now(reasons)],
        _notes(mounted, store),
        contained.walls.encode() if contained is not None else [],
        _large(images, mounted, store),
        _launcher(package) if contained is None else [],
    )
    with contextlib.suppress(OSError):  # somebody else's store, or a full one
        if contained is not None or starts.read(os.fspath(store.folder), seen.words) != start:
            _write(Path(place), start, store)
            _renew(Path(place), start, store)  # who laid layers out meanwhile found no record


def renew(store: LocalStore) -> None:
    """Let this user's records have the folders that images were laid out as (`laid`).

    With the images they would no longer hold: the next start of each package, and of an edit that
    comes over it, would find all out anew.
    """
    for place, known in starts.own(os.fspath(store.folder)):
        asked = [fact for fact in known.facts if fact[0] == starts.VARIABLE]
        if all(starts.fact(kind, of) == value for kind, of, value in asked):
            _renew(Path(place), known, store)


def _renew(place: Path, known: starts.Start, store: LocalStore) -> None:
    if any(os.path.lexists(folder) for _, folder in known.large):
        # A store that is full, somebody else's folder, a layer that is gone: it stays as it is.
        with contextlib.suppress(OSError, LaminaError):
            _rewrite(place, known, store)


def _rewrite(place: Path, known: starts.Start, store: LocalStore) -> None:
    from lamina.node import laid

    before = [Path(image[0]) for image in known.images]
    now = [path if path.is_dir() else laid.stacked(path, store.folder) for path in before]
    known.images = [
        image if path == new else _image(new)
        for image, path, new in zip(known.images, before, now, strict=True)
    ]
    known.notes = _notes(now, store)
    known.large = _pairs(laid.candidates((path for path in now if not path.is_dir()), store.folder))
    _write(place, known, store)


def _write(place: Path, start: starts.Start, store: LocalStore) -> None:
    filesystem.write_atomic(place, starts.encode(start), mode=0o600, scratch=store.scratch)


def _reasons(images: Sequence[Path], server: str) -> Iterator[tuple[str, str]]:
    """Facts by kind that have a say in every start of these images."""
    if server:
        yield starts.FILE, server
    if _has_large(images):
        yield starts.VARIABLE, laying.VARIABLE


def _has_large(images: Sequence[Path]) -> bool:
    return any(path.stat().st_size >= laying.LEAST for path in images)


def _now(subjects: Iterable[tuple[str, str]]) -> list[tuple[str, str, str]]:
    return [(kind, of, starts.fact(kind, of)) for kind, of in dict.fromkeys(subjects)]


def _squashfuse() -> str:
    from lamina.linux import process  # dear, and the driver `kernel` does without

    return str(process.require("squashfuse_ll"))


def _large(
    images: Sequence[Path], mounted: Sequence[Path], store: LocalStore
) -> list[tuple[str, str]]:
    """What is mounted of a package with a large layer, and may become folders."""
    if not _has_large(images):
        return []
    from lamina.node import laid

    return _pairs(laid.candidates(mounted, store.folder))


def _pairs(candidates: Iterable[Candidate]) -> list[tuple[str, str]]:
    return [(os.fspath(each.image), os.fspath(each.place)) for each in candidates]


def _launcher(package: Package) -> list[str]:
    """What the launcher of a program in Python is like, if it is one that needs no shell."""
    name = package.entry_point[0]
    if not package.interpreter or "/" in name:
        return []
    from lamina.formats import launcher  # containers do without

    bootstrap, own = launcher.bootstrap_of(name), package.label.rpartition(":")[2]
    return [*launcher.plain_python(own, bootstrap, package.interpreter), bootstrap]


def _image(path: Path) -> tuple[str, str, int, str]:
    if path.is_dir():
        return os.fspath(path.absolute()), attach.FOLDER, 0, starts.state(os.fspath(path))
    with mounts.opened(path) as image:
        state = starts.of(os.fstat(image.descriptor))
        return os.fspath(path.absolute()), image.kind, image.offset, state


def _notes(images: Sequence[Path], store: LocalStore) -> list[str]:
    """The notes of what was made of layers, whose time tells when that was used."""
    merged = store.folder / derived.MERGED
    names = [path.parent.name + path.name for path in images if path.parent.parent == merged]
    found = [derived.note(name, store.folder) for name in names]
    if any(path.is_dir() for path in images):
        from lamina.node import laid

        found += filter(None, (laid.note(path, store.folder) for path in images))
    return list(map(os.fspath, found))
