"""Trees as mappings: paths that stay inside, sizes, moving, and paths that exclude each other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError
from lamina.core.tree import (
    File,
    Folder,
    Node,
    Symlink,
    below,
    check_path,
    conflicts,
    content_size,
    parents,
    place,
    stacked,
    with_folders,
)

FILE = File(Digest.of(b"12345"))
names = st.text("ab", min_size=1, max_size=2)
paths = st.lists(names, min_size=1, max_size=4).map("/".join)


@pytest.mark.parametrize("path", ["a", "a/b", ".a", "..a", "a..", "a b", "a\\b", "é", "-rf"])
def test_a_path_that_stays_inside_is_returned(path: str) -> None:
    assert check_path(path) == path


@pytest.mark.parametrize(
    "path",
    ["", ".", "..", "/", "/a", "a/", "a//b", "./a", "a/./b", "../a", "a/../b", "a/..", "a\0"],
)
def test_a_path_that_may_leave_its_folder_is_refused(path: str) -> None:
    with pytest.raises(IntegrityError, match="not a path inside a tree"):
        check_path(path)


def test_the_size_counts_the_bytes_of_files_alone() -> None:
    tree: dict[str, Node] = {
        "a": FILE,
        "b": FILE,
        "link": Symlink("somewhere/far"),
        "empty": Folder(),
    }

    assert content_size(tree) == 10


def test_below_a_folder_every_path_gets_its_name_in_front() -> None:
    assert below("x/y", {"a": FILE, "b/c": Folder()}) == {"x/y/a": FILE, "x/y/b/c": Folder()}


@pytest.mark.parametrize("folder", ["", "."])
def test_below_the_root_nothing_changes(folder: str) -> None:
    assert below(folder, {"a": FILE}) == {"a": FILE}


def test_a_single_file_takes_the_path_it_is_placed_at() -> None:
    assert place("bin/tool", {"": FILE}) == {"bin/tool": FILE}


def test_a_folder_is_placed_with_its_files_below_the_path() -> None:
    assert place("data", {"a": FILE, "b/c": FILE}) == {"data/a": FILE, "data/b/c": FILE}


def test_a_file_where_others_want_a_folder_comes_with_the_first_of_them() -> None:
    found = conflicts(["b", "a/z/2", "a/z/1", "a", "a/z", "ab/c"])

    assert found == [("a", "a/z"), ("a/z", "a/z/1")]


@given(st.sets(paths))
def test_conflicts_are_exactly_the_paths_that_others_start_with(found: set[str]) -> None:
    expected = {path for path in found if any(other.startswith(f"{path}/") for other in found)}

    assert {file for file, _ in conflicts(found)} == expected
    assert all(inner.startswith(f"{file}/") for file, inner in conflicts(found))


NODES: st.SearchStrategy[Node] = st.sampled_from([FILE, Symlink("x"), Folder()])
trees = st.dictionaries(paths, NODES, max_size=6).filter(lambda tree: not conflicts(tree))


def overlaid(stack: list[dict[str, Node]]) -> dict[str, Node]:
    """What overlayfs shows of these trees, looked up path by path from the top."""
    found: dict[str, Node] = {}
    whole = [with_folders(tree) for tree in stack]
    for path in {path for tree in whole for path in tree}:
        hidden = False
        for tree in reversed(whole):
            outer = [tree.get(folder) for folder in parents(path)]
            if any(node is not None and not isinstance(node, Folder) for node in outer):
                hidden = True
            if hidden:
                break
            if path in tree:
                found[path] = tree[path]
                break
    return found


@given(st.lists(trees, max_size=4))
def test_a_stack_shows_what_overlayfs_would(stack: list[dict[str, Node]]) -> None:
    assert with_folders(stacked(stack)) == dict(sorted(overlaid(stack).items()))


@given(st.lists(trees, max_size=4))
def test_a_stack_is_a_tree_in_order(stack: list[dict[str, Node]]) -> None:
    found = stacked(stack)

    assert list(found) == sorted(found)
    assert conflicts(found) == []


@given(st.lists(trees, min_size=1, max_size=4), st.data())
def test_parts_of_a_stack_may_be_stacked_before(
    stack: list[dict[str, Node]], data: st.DataObject
) -> None:
    # Where a file below hides nothing any more, as overlayfs has it only for whole stacks: layers
    # of a package never write a file where another has a folder.
    kinds: dict[str, set[bool]] = {}
    for tree in stack:
        for path, node in with_folders(tree).items():
            kinds.setdefault(path, set()).add(isinstance(node, Folder))
    if any(len(kind) > 1 for kind in kinds.values()):
        return
    cut = data.draw(st.integers(0, len(stack)))

    parts = [stacked(stack[:cut]), stacked(stack[cut:])]

    assert with_folders(stacked(parts)) == with_folders(stacked(stack))


def test_the_folders_of_a_path_come_from_the_outside_in() -> None:
    assert parents("a/b/c") == ["a", "a/b"]
    assert parents("a") == []
