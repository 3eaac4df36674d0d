"""Container images in the store: a folder, or an archive of one, as blobs that are layers."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass

from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError
from lamina.core.manifest import Image
from lamina.core.tree import File, Node, Symlink
from lamina.formats import archive, image
from lamina.formats.image import Choice
from lamina.store.local import LocalStore
from lamina.store.unpack import Unpacking, unpack

_NAMES = ("manifest.json", "oci-layout", "index.json")


@dataclass(frozen=True, slots=True)
class Base:
    """The layers of an image, bottom first, and how it says that it is run."""

    layers: tuple[tuple[Digest, str], ...]  # a tar archive, and its `diff_id` where that is known
    config: Image


def read(tree: Mapping[str, Node], choice: Choice, store: LocalStore) -> Base:
    """The image that a folder or a file is; any other tar archive is a root file system.

    Raises UserError, and IntegrityError where a blob is not what the image says of it.
    """
    node = next(iter(tree.values()), None)
    if len(tree) == 1 and isinstance(node, File):
        if not _is_image(node.digest, store):
            return Base(((node.digest, ""),), Image())
        tree = unpack(node.digest, Unpacking(), store)
    tree = _inner(tree)
    if not (image.is_layout(list(tree)) or image.is_saved(list(tree))):
        raise IntegrityError(
            "it is no image: it has neither `index.json` and `oci-layout` nor `manifest.json`",
            hint="an OCI layout, what `docker save` writes, or a tar archive of a root file system",
        )

    def file(path: str) -> Digest:
        digest = _file(path, tree)
        folder, _, name = path.rpartition("/")
        if folder == "blobs/sha256" and name != digest.hash:
            raise IntegrityError(f"`{path}` in the image does not match its name")
        return digest

    found = image.read(list(tree), lambda path: store.read(file(path)), choice)
    return Base(tuple((file(path), diff_id) for path, diff_id in found.layers), found.config)


def _inner(tree: Mapping[str, Node]) -> Mapping[str, Node]:
    """The folder in a tree that the image lies in."""
    tops = [path for path in tree if path.rpartition("/")[2] in _NAMES]
    top = min(tops, key=len, default="").rpartition("/")[0]
    if not top:
        return tree
    start = f"{top}/"
    return {path[len(start) :]: node for path, node in tree.items() if path.startswith(start)}


def _is_image(digest: Digest, store: LocalStore) -> bool:
    """Whether an archive holds an image, and is not the root file system itself."""
    with store.path(digest).open("rb") as file:
        return any(entry.path in _NAMES for entry in archive.entries(file, digest.size))


def _file(path: str, tree: Mapping[str, Node]) -> Digest:
    """A file of an image; equal layers of an archive are links to one."""
    if not isinstance(path, str):  # it comes from JSON
        raise IntegrityError(f"the image names a file by {path!r:.80}")
    for _ in range(3):
        node = tree.get(posixpath.normpath(path))
        if node is None:
            raise IntegrityError(f"the image has no `{path}`")
        if isinstance(node, File):
            return node.digest
        if isinstance(node, Symlink):
            path = posixpath.join(posixpath.dirname(path), node.target)
    raise IntegrityError(f"`{path}` in the image is no file")
