"""Merkle trees: one name for one content, read back whole, refused when damaged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.core.digest import EMPTY, Digest
from lamina.core.errors import IntegrityError
from lamina.core.tree import File, Folder, Node, Symlink, conflicts
from lamina.formats import reapi
from lamina.formats import reapi_pb2 as pb
from lamina.store import trees
from lamina.store.blobs import BlobMissing
from lamina.store.memory import MemoryStore

names = st.text("ab.é", min_size=1, max_size=2).filter(lambda name: name not in (".", ".."))
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
nodes = st.one_of(
    st.builds(File, st.builds(Digest.of, st.binary(max_size=2)), st.booleans()),
    st.builds(Symlink, st.sampled_from(["a", "../b", "/c"])),
    st.just(Folder()),
)
flat = st.dictionaries(paths, nodes, max_size=8).filter(lambda tree: not conflicts(tree))


@given(flat)
def test_a_tree_reads_back_sorted_by_path(tree: dict[str, Node]) -> None:
    store = MemoryStore()

    found = trees.read(trees.write(tree, store), store)

    assert found == tree
    assert list(found) == sorted(found)


@given(flat)
def test_the_order_in_which_files_were_found_does_not_matter(tree: dict[str, Node]) -> None:
    root, blobs = trees.encode(tree)
    other_root, other_blobs = trees.encode(dict(sorted(tree.items(), reverse=True)))

    assert (root, sorted(blobs)) == (other_root, sorted(other_blobs))


@given(flat, paths, nodes)
def test_every_change_changes_the_name(tree: dict[str, Node], path: str, node: Node) -> None:
    changed = tree | {path: node}

    if not conflicts(changed):
        assert (trees.encode(changed)[0] == trees.encode(tree)[0]) == (changed == tree)


@given(flat, flat)
def test_changes_are_where_two_trees_differ(old: dict[str, Node], new: dict[str, Node]) -> None:
    store = MemoryStore()
    roots = trees.write(old, store), trees.write(new, store)

    found = list(trees.changes(*roots, store))

    assert sorted(found) == sorted(
        (path, old.get(path), new.get(path))
        for path in {*old, *new}
        if old.get(path) != new.get(path)
    )
    assert sorted(trees.changes(None, roots[1], store)) == sorted(
        (path, None, node) for path, node in new.items()
    )


def test_what_has_not_changed_is_not_looked_at() -> None:
    file, other = File(Digest.of(b"1")), File(Digest.of(b"2"))
    (old, before), (new, after) = (
        trees.encode({"a/b/c": file, "d/e": each}) for each in (file, other)
    )
    store = MemoryStore()
    for blob in {*before, *after} - {reapi.encode_directory({"c": file})}:
        store.write(blob)

    assert list(trees.changes(old, new, store)) == [("d/e", file, other)]
    with pytest.raises(BlobMissing):
        trees.read(new, store)


def test_a_tree_of_nothing_has_the_empty_digest() -> None:
    assert trees.encode({}) == (EMPTY, [b""])


def test_a_tree_is_nested_directory_messages_with_the_root_last() -> None:
    digest = Digest.of(b"abc")
    file = pb.FileNode(name="c", digest=pb.Digest(hash=digest.hash, size_bytes=3))
    inner = pb.Directory(files=[file]).SerializeToString()
    middle = directory("b", inner)

    root, blobs = trees.encode({"a/b/c": File(digest)})

    assert blobs == [inner, middle, directory("a", middle)]
    assert root == Digest.of(directory("a", middle))


def directory(name: str, below: bytes) -> bytes:
    """A `Directory` that holds one folder."""
    digest = pb.Digest(hash=Digest.of(below).hash, size_bytes=len(below))
    return pb.Directory(
        directories=[pb.DirectoryNode(name=name, digest=digest)]
    ).SerializeToString()


def test_equal_folders_are_one_blob() -> None:
    file = File(Digest.of(b"abc"))

    _, blobs = trees.encode({f"{folder}/x": file for folder in "abc"})

    assert len(set(blobs)) == 2


def test_the_files_themselves_are_not_written() -> None:
    store = MemoryStore()
    digest = Digest.of(b"abc")

    trees.write({"a": File(digest)}, store)

    assert store.missing([digest]) == {digest}


def test_a_tree_with_a_part_missing_names_the_part() -> None:
    root, blobs = trees.encode({"a/b": Folder()})
    store = MemoryStore()
    store.write(blobs[-1])

    with pytest.raises(BlobMissing) as caught:
        trees.read(root, store)

    assert caught.value.digest == Digest.of(blobs[-2])


def test_a_blob_that_is_no_directory_is_refused() -> None:
    store = MemoryStore()

    with pytest.raises(IntegrityError, match="not a Directory message"):
        trees.read(store.write(b"no message"), store)


def test_a_tree_that_wants_out_of_its_folder_is_refused() -> None:
    store = MemoryStore()
    outside = store.write(directory("..", store.read(store.write(b""))))

    with pytest.raises(IntegrityError, match="not a path inside a tree"):
        trees.read(outside, store)


def test_a_tree_of_a_million_million_paths_in_few_messages_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = MemoryStore()
    monkeypatch.setattr(trees, "_MOST", 1000)
    below = store.write(reapi.encode_directory({"a": Symlink("x")}))
    for _ in range(40):
        below = store.write(reapi.encode_directory({"a": below, "b": below}))

    with pytest.raises(IntegrityError, match="more than 1000 paths"):
        trees.read(below, store)


def test_folders_that_lie_too_deep_are_given_up_by_who_walks_them() -> None:
    store = MemoryStore()
    below = store.write(reapi.encode_directory({"a": Symlink("x")}))
    for _ in range(5000):
        below = store.write(reapi.encode_directory({"a": below}))

    with pytest.raises(IntegrityError, match="deeper than 256 folders"):
        trees.read(below, store)
    with pytest.raises(IntegrityError, match="deeper than 256 folders"):
        trees.encode({"a/" * 256 + "b": Symlink("x")})
    assert trees.encode({"a/" * 255 + "b": Symlink("x")})
