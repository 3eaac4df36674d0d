"""Merkle trees in a blob store: flat trees to `Directory` blobs and back."""

from __future__ import annotations

from lamina.core.digest import Digest
from lamina.core.tree import File, Folder, Node, Symlink, Tree
from lamina.formats import reapi
from lamina.store.blobs import BlobStore

_Level = dict[str, "File | Symlink | _Level"]


def encode(tree: Tree) -> tuple[Digest, list[bytes]]:
    """The root digest of a tree and its `Directory` messages, the root last."""
    blobs: list[bytes] = []
    root = _encode(_nest(tree), blobs)
    return root, blobs


def write(tree: Tree, store: BlobStore) -> Digest:
    """Keep a tree's `Directory` messages in a store (not its files) and return the root digest."""
    root, blobs = encode(tree)
    for blob in blobs:
        store.write(blob)
    return root


def read(root: Digest, store: BlobStore) -> dict[str, Node]:
    """The flat tree below a root digest, sorted by path."""
    tree: dict[str, Node] = {}
    _read(root, "", store, tree)
    return dict(sorted(tree.items()))


def _read(digest: Digest, prefix: str, store: BlobStore, tree: dict[str, Node]) -> None:
    children = reapi.decode_directory(store.read(digest))
    if not children and prefix:
        tree[prefix.rstrip("/")] = Folder()
    for name, node in children.items():
        if isinstance(node, Digest):
            _read(node, f"{prefix}{name}/", store, tree)
        else:
            tree[prefix + name] = node


def _nest(tree: Tree) -> _Level:
    root: _Level = {}
    for path, node in tree.items():
        *folders, name = path.split("/")
        level = root
        for folder in folders:
            below = level.setdefault(folder, {})
            assert isinstance(below, dict), f"`{folder}` is a file and a folder in {path}"
            level = below
        level[name] = {} if isinstance(node, Folder) else node
    return root


def _encode(level: _Level, blobs: list[bytes]) -> Digest:
    children: dict[str, File | Symlink | Digest] = {
        name: _encode(node, blobs) if isinstance(node, dict) else node
        for name, node in level.items()
    }
    data = reapi.encode_directory(children)
    blobs.append(data)
    return Digest.of(data)
