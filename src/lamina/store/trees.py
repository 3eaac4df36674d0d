"""Merkle trees in a blob store: flat trees to `Directory` blobs and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError
from lamina.core.tree import DEEPEST, File, Folder, Node, Symlink, Tree
from lamina.formats import reapi
from lamina.store.blobs import BlobStore

_MOST = 1_000_000  # paths in a tree that is read
_Level = dict[str, "File | Symlink | _Level"]
_Children = Mapping[str, reapi.Child]
Change = tuple[str, "Node | None", "Node | None"]  # a path, what was there, and what is there


def encode(tree: Tree) -> tuple[Digest, list[bytes]]:
    """The root digest of a tree and its `Directory` messages, the root last.

    Raises IntegrityError where folders lie too deep in each other.
    """
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
    """The flat tree below a root digest, sorted by path.

    Raises IntegrityError for messages that make more of a tree than there can be: a folder may be
    named twice in each of sixty others, which is a tree of 2^60 paths in as many small messages.
    """
    tree: dict[str, Node] = {}
    _read(root, "", store, tree)
    return dict(sorted(tree.items()))


def changes(old: Digest | None, new: Digest, store: BlobStore) -> Iterator[Change]:
    """Where the flat tree below a root digest differs from that below an older one, by path.

    A folder that is the same is not looked into, so it costs what differs, not what there is.
    Raises IntegrityError where some of it is damaged, or not in the store.
    """
    if old != new:
        yield from _changes(_children(old, store), _children(new, store), "", store)


def _changes(old: _Children, new: _Children, prefix: str, store: BlobStore) -> Iterator[Change]:
    if prefix.count("/") >= DEEPEST:
        raise _too_much(prefix)
    for name in sorted(old.keys() | new.keys()):
        both = old.get(name), new.get(name)
        if both[0] != both[1]:
            before, after = (_children(each, store) for each in both)
            was, now = _seen(both[0], before), _seen(both[1], after)
            if was != now:
                yield prefix + name, was, now
            yield from _changes(before, after, f"{prefix}{name}/", store)


def _seen(child: reapi.Child | None, below: _Children) -> Node | None:
    """What a flat tree has at the path of a child."""
    if isinstance(child, Digest):
        return None if below else Folder()
    return child


def _children(folder: reapi.Child | None, store: BlobStore) -> _Children:
    """What is in a folder; nothing is in anything else."""
    if not isinstance(folder, Digest):
        return {}
    return reapi.decode_directory(store.read(folder))


def _read(digest: Digest, prefix: str, store: BlobStore, tree: dict[str, Node]) -> None:
    children = _children(digest, store)
    if prefix.count("/") >= DEEPEST or len(tree) + len(children) > _MOST:
        raise _too_much(prefix)
    if not children and prefix:
        tree[prefix.rstrip("/")] = Folder()
    for name, node in children.items():
        if isinstance(node, Digest):
            _read(node, f"{prefix}{name}/", store, tree)
        else:
            tree[prefix + name] = node


def _too_much(path: str) -> IntegrityError:
    return IntegrityError(
        f"a tree is deeper than {DEEPEST} folders or has more than {_MOST} paths: `{path[:60]}…`"
    )


def _nest(tree: Tree) -> _Level:
    root: _Level = {}
    for path, node in tree.items():
        *folders, name = path.split("/")
        if len(folders) >= DEEPEST:
            raise _too_much(path)
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
