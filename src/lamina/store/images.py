"""Container images in the store: a folder, an archive or a registry's, as blobs that are layers.

Layers are taken as they are, byte for byte: who has the image has those too.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Callable, Mapping
from pathlib import Path

from lamina.core.classes import replace
from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError
from lamina.core.manifest import Image, ImageLayer
from lamina.core.tree import File, Node, Symlink
from lamina.formats import archive, image
from lamina.formats.image import Choice, Found, FoundLayer
from lamina.formats.ociimage import MEDIA_TYPES
from lamina.store.local import LocalStore
from lamina.store.unpack import Unpacking, unpack

_NAMES = ("manifest.json", "oci-layout", "index.json")
_TYPES = {"": MEDIA_TYPES["none"], "gz": MEDIA_TYPES["gzip"], "zst": MEDIA_TYPES["zstd"]}
_PLAIN = (MEDIA_TYPES["none"], "application/vnd.docker.image.rootfs.diff.tar")

# Puts a manifest (`manifests`) or another blob (`blobs`) of an image into the store, once it has
# checked it; given are the reference, `host/repository@sha256:…`, which of the two it is, and its
# digest, `sha256:…`.
Bring = Callable[[str, str, str, LocalStore], None]


def read(tree: Mapping[str, Node], choice: Choice, store: LocalStore) -> Image:
    """The image that a folder or a file is; any other tar archive is a root file system.

    Its one layer has no `diff_id` unless it is not compressed, and no media type where images have
    none for its compression. Raises UserError, and IntegrityError where a blob is not what the
    image says of it.
    """
    node = next(iter(tree.values()), None)
    if len(tree) == 1 and isinstance(node, File):
        if not _is_image(node.digest, store):
            return Image(choice.architecture, layers=(_root(node.digest, store),))
        tree = unpack(node.digest, Unpacking(), store)
    tree = _inner(tree)
    _check_is_image([*tree])
    return _image([*tree], lambda path: _file(path, tree), choice, store)


def at(path: Path, choice: Choice, store: LocalStore) -> Image:
    """The image at a path, a folder or a file as for `read`; raises OSError besides."""
    if not path.is_dir():
        return read({path.name: File(_known(path, store))}, choice, store)
    names = [name for name in _NAMES if (path / name).is_file()]
    _check_is_image(names)

    def file(name: str) -> Digest:
        inner = path / archive.clean(name)
        if not inner.is_file():
            raise IntegrityError(f"the image has no `{name}`")
        return _known(inner, store)

    return _image(names, file, choice, store)


def pulled(reference: str, choice: Choice, store: LocalStore, bring: Bring) -> Image:
    """The image of a reference, `host/repository@sha256:…`; what the store lacks is brought to it.

    Raises UserError and IntegrityError as `read` does, and what `bring` raises.
    """
    place, _, wanted = reference.partition("@")
    manifests = {image.place(wanted)}

    def file(path: str) -> Digest:
        hexadecimal = path.rpartition("/")[2]
        found = store.find(hexadecimal)
        if found is None:
            kind = "manifests" if path in manifests else "blobs"
            bring(reference, kind, f"sha256:{hexadecimal}", store)
            found = store.find(hexadecimal)
        if found is None:
            raise IntegrityError(f"`{reference}` has no blob `sha256:{hexadecimal}`")
        return found

    def content(path: str) -> bytes:
        data = store.read(file(path))
        manifests.update(image.named(data))
        return data

    found = _with_layers(image.resolve(wanted, content, choice), file, store)
    return replace(found, name=place)


def _check_is_image(names: list[str]) -> None:
    if not (image.is_layout(names) or image.is_saved(names)):
        raise IntegrityError(
            "it is no image: it has neither `index.json` and `oci-layout` nor `manifest.json`",
            hint="an OCI layout, what `docker save` writes, or a tar archive of a root file system",
        )


def _image(
    names: list[str], file: Callable[[str], Digest], choice: Choice, store: LocalStore
) -> Image:
    """The image among files, each of which is known by its name."""

    def checked(path: str) -> Digest:
        digest = file(path)
        folder, _, name = path.rpartition("/")
        if folder == "blobs/sha256" and name != digest.hash:
            raise IntegrityError(f"`{path}` in the image does not match its name")
        return digest

    found = image.read(names, lambda path: store.read(checked(path)), choice)
    return _with_layers(found, checked, store)


def _with_layers(found: Found, file: Callable[[str], Digest], store: LocalStore) -> Image:
    layers = tuple(_layer(layer, file(layer.path), store) for layer in found.layers)
    return replace(found.image, layers=layers)


def _layer(layer: FoundLayer, blob: Digest, store: LocalStore) -> ImageLayer:
    if layer.size not in (None, blob.size):
        raise IntegrityError(
            f"the layer `{layer.path}` has {blob.size} bytes, the image says {layer.size}"
        )
    media_type = layer.media_type or _TYPES.get(_compression(blob, store), "")
    if media_type in _PLAIN and blob.hash != layer.diff_id:
        raise IntegrityError(
            f"the layer `{layer.path}` does not match its digest",
            hint="it is not the one that the image's configuration names",
        )
    return ImageLayer(blob, layer.diff_id, media_type)


def _root(blob: Digest, store: LocalStore) -> ImageLayer:
    """The archive of a root file system as a layer."""
    kind = _compression(blob, store)
    return ImageLayer(blob, "" if kind else blob.hash, _TYPES.get(kind, ""))


def _compression(blob: Digest, store: LocalStore) -> str:
    with store.path(blob).open("rb") as file:
        return archive.compression(file)


def _known(path: Path, store: LocalStore) -> Digest:
    """A file, which is copied into the store once somebody wants it there."""
    with path.open("rb") as file:
        digest = Digest(hashlib.file_digest(file, "sha256").hexdigest(), file.tell())
    if not store.has(digest):
        store.promise(digest, str(path.absolute()))
    return digest


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
