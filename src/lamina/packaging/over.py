"""A package as an edit of those before: the layers that lie over them as images.

Own files of two targets lie at different paths, or are the same (`layers.check`). So a layer that
has each path of the one in whose place it came may lie on top of a stack that still has that one:
all that shows is its own. Where a path or a layer is gone, or the program starts in another way, a
package is no edit in this sense.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence

from lamina.core.classes import dataclass, replace
from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError
from lamina.core.manifest import LAYER_XAR, Layer, Package
from lamina.formats import edit, squashfs, squashreader, xar
from lamina.formats.inodes import Folder
from lamina.store.local import LocalStore

_HASH = re.compile(r"[0-9a-f]{64}")
_LARGEST = xar.SIZE + edit.LONGEST  # bytes of a layer that may be in an edit


@dataclass(frozen=True, slots=True)
class Chain:
    """The packages that one is an edit of, and which layers lie over either."""

    packages: tuple[str, ...] = ()  # hashes of their manifests, the newest first
    labels: tuple[str, ...] = ()  # of the layers, sorted


def recalled(hashes: Sequence[str], labels: Sequence[str]) -> Chain:
    """A chain that was written down; raises ValueError for what may not go into a script."""
    if not all(_HASH.fullmatch(each) for each in hashes):
        raise ValueError("no hashes of packages")
    return Chain(tuple(hashes), tuple(labels))


def follow(chain: Chain, before: Digest, old: Package, new: Package, store: LocalStore) -> Chain:
    """What a package is an edit of, by the one before it, that one's digest, and what that was.

    Raises BlobMissing where the store lacks some of their layers.
    """
    changed = _changed(old, new, store)
    if not changed:
        return Chain()
    labels = tuple(sorted({*chain.labels, *changed}))
    sizes = [layer.blob.size for layer in new.layers if layer.label in labels]
    if len(labels) > edit.MOST or sum(sizes) > _LARGEST:
        return Chain((before.hash,), tuple(sorted(changed)))
    return Chain((before.hash, *chain.packages)[: edit.OVER], labels)


def told(package: Package, digest: Digest, chain: Chain, store: LocalStore) -> str:
    """A package as an edit, as `formats/edit` writes it; empty where it is none, or too much.

    Raises BlobMissing where the store lacks some of it.
    """
    if not chain.packages:
        return ""
    layers = [layer for layer in package.layers if layer.label in chain.labels]
    store.fetch([layer.blob for layer in layers])
    images = [_image(store.read(layer.blob)) for layer in layers]
    return edit.encode(chain.packages, digest.hash, package.version, images)


def _changed(old: Package, new: Package, store: LocalStore) -> set[str]:
    """The labels of the layers that lie over a package; none where it is no edit."""
    if old.base_layers or replace(old, layers=new.layers) != replace(
        new, version=old.version, commit=old.commit, dirty=old.dirty
    ):
        return set()
    before = {layer.label: layer for layer in old.layers}
    after = {layer.label: layer for layer in new.layers}
    if len(before) != len(old.layers) or len(after) != len(new.layers) or before.keys() - after:
        return set()
    found = [layer for layer in new.layers if before.get(layer.label) != layer]
    pairs = [(layer, before.get(layer.label)) for layer in found]
    return (
        {layer.label for layer in found} if all(_hides(*pair, store) for pair in pairs) else set()
    )


def _hides(layer: Layer, former: Layer | None, store: LocalStore) -> bool:
    """Whether a layer is little, and has each path of the one in whose place it came."""
    both = [layer] if former is None else [layer, former]
    if any(each.media_type != LAYER_XAR or each.blob.size > _LARGEST for each in both):
        return False
    store.fetch([each.blob for each in both])
    try:
        own, *others = (_paths(each, store) for each in both)
        return all(paths <= own for paths in others)
    except (IntegrityError, OSError):
        return False  # packed in another way, or damaged: what mounts it has to say so


def _paths(layer: Layer, store: LocalStore) -> set[bytes]:
    opened = os.open(store.path(layer.blob), os.O_RDONLY | os.O_CLOEXEC)
    try:
        begin = xar.decode(os.pread(opened, xar.SIZE, 0)).offset
        return set(_below(squashreader.Image(opened, begin).root(), b""))
    finally:
        os.close(opened)


def _below(folder: Folder, path: bytes) -> Iterator[bytes]:
    for name, node in folder.entries.items():
        found = path + b"/" + name
        yield found
        if isinstance(node, Folder):
            yield from _below(node, found)


def _image(data: bytes) -> bytes:
    begin = xar.decode(data).offset
    return data[begin : begin + squashfs.parse(data[begin:]).bytes_used]
