"""A package as an edit of those before: an image of the files that differ, which lies over them.

Own files of two targets lie at different paths, or are the same (`layers.check`). So where no path
of the package before is gone, what differs may lie on top of the stack that still has the rest:
all that shows is the package's own. Where a path or a layer is gone, or the program starts in
another way, a package is no edit in this sense.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lamina.core.classes import dataclass, field, replace
from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError
from lamina.core.manifest import LAYER_XAR, Layer, Package
from lamina.core.tree import File, conflicts
from lamina.formats import edit, squashfs, xar
from lamina.store import trees
from lamina.store.local import LocalStore

if TYPE_CHECKING:
    from lamina.formats import squashreader

_HASH = re.compile(r"[0-9a-f]{64}")
_MOST = 256  # paths that may differ
_MUCH = 1 << 18  # bytes of the files there: it is not tried how small more of them would become

Paths = Mapping[str, Sequence[str]]  # sorted, by the label of the layer that they are in


@dataclass(frozen=True, slots=True)
class Chain:
    """The packages that one is an edit of, and the paths at which it differs from any of them."""

    packages: Sequence[str] = ()  # hashes of their manifests, the newest first
    paths: Paths = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Edit:
    """A package as an edit; of no others, and without an image, where it is none."""

    chain: Chain = Chain()
    image: bytes = b""  # squashfs


def recalled(hashes: object, paths: object) -> Chain:
    """A chain that was written down; raises ValueError for what may not go into a script."""
    if not isinstance(hashes, list) or not all(_HASH.fullmatch(each) for each in hashes):
        raise ValueError("no hashes of packages")
    if not isinstance(paths, dict) or not all(map(_are_paths, paths.values())):
        raise ValueError("no paths of layers")
    return Chain(hashes, paths)


def follow(chain: Chain, before: Digest, old: Package, new: Package, store: LocalStore) -> Edit:
    """A package as an edit, by the one before it, that one's digest, and what that was an edit of.

    Raises BlobMissing where the store lacks some of their layers.
    """
    changed = _changed(old, new, store)
    if not changed:
        return Edit()
    longer = Chain((before.hash, *chain.packages)[: edit.OVER], _joined(chain.paths, changed))
    return again(longer, new, store) or again(Chain((before.hash,), changed), new, store) or Edit()


def again(chain: Chain, package: Package, store: LocalStore) -> Edit | None:
    """A package as the edit that a chain tells of; None where it is too much for one.

    Raises BlobMissing where the store lacks some of its layers.
    """
    if not 0 < sum(map(len, chain.paths.values())) <= _MOST:
        return None
    layers = [layer for layer in package.layers if layer.label in chain.paths]
    store.fetch([layer.blob for layer in layers])
    try:
        image = _image([(layer, chain.paths[layer.label]) for layer in layers], store)
    except (IntegrityError, OSError):
        return None  # packed in another way, or damaged: what mounts it has to say so
    return Edit(chain, image) if len(image) <= edit.LARGEST else None


def told(package: Package, digest: Digest, found: Edit) -> str:
    """A package as an edit, as `formats/edit` writes it; empty where it is none."""
    if not found.image:
        return ""
    return edit.encode(found.chain.packages, digest.hash, package.version, found.image)


def _are_paths(found: object) -> bool:
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        return False
    return not conflicts(found)


def _joined(paths: Paths, more: Paths) -> Paths:
    labels = sorted({*paths, *more})
    return {label: sorted({*paths.get(label, ()), *more.get(label, ())}) for label in labels}


def _changed(old: Package, new: Package, store: LocalStore) -> Paths:
    """The paths at which a package differs from another; none where it is no edit of that."""
    if old.base_layers or replace(old, layers=new.layers) != replace(
        new, version=old.version, commit=old.commit, dirty=old.dirty
    ):
        return {}
    before = {layer.label: layer for layer in old.layers}
    after = {layer.label: layer for layer in new.layers}
    if len(before) != len(old.layers) or len(after) != len(new.layers) or before.keys() - after:
        return {}
    found: dict[str, Sequence[str]] = {}
    for label, layer in after.items():
        if before.get(label) != layer:
            paths = _differs(before.get(label), layer, store)
            if not paths:
                return {}
            found[label] = paths
    return found


def _differs(former: Layer | None, layer: Layer, store: LocalStore) -> Sequence[str]:
    """The paths at which a layer differs from a former one; none where that has more."""
    if any(each.media_type != LAYER_XAR for each in (former or layer, layer)):
        return ()
    found, size = list[str](), 0
    with contextlib.suppress(IntegrityError):  # nobody knows any more what was in it
        for path, was, now in trees.changes(former.tree if former else None, layer.tree, store):
            size += now.digest.size if isinstance(now, File) else 0
            if now is None or (was and type(was) is not type(now)):
                return ()
            found.append(path)
            if len(found) > _MOST or size > _MUCH:
                return ()
        return found
    return ()


def _image(parts: Sequence[tuple[Layer, Sequence[str]]], store: LocalStore) -> bytes:
    """An image of what is at some paths of some layers."""
    from lamina.formats import compose, squashreader, squashwriter

    with contextlib.ExitStack() as ends:
        images, tops = [], []
        for layer, paths in parts:
            opened = os.open(store.path(layer.blob), os.O_RDONLY | os.O_CLOEXEC)
            ends.callback(os.close, opened)
            begin = xar.decode(os.pread(opened, xar.SIZE, 0)).offset
            images.append(squashreader.Image(opened, begin))
            tops.append(images[-1].root(_wanted(paths)))
        tree = compose.composed(tops, is_bottom=False)
        made = os.memfd_create("edit", os.MFD_CLOEXEC)
        ends.callback(os.close, made)
        squashwriter.write_anew(made, tree, images)
        head = squashfs.parse(os.pread(made, squashfs.SUPERBLOCK_SIZE, 0))
        return os.pread(made, head.bytes_used, 0)


def _wanted(paths: Iterable[str]) -> squashreader.Wanted:
    found: dict[bytes, Any] = {}
    for path in paths:
        *folders, name = path.encode().split(b"/")
        level = found
        for folder in folders:
            level = level.setdefault(folder, {})
        level[name] = None
    return found
