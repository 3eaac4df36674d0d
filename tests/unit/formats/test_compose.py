"""Composing layers: cutting them into runs changes nothing, whatever they hide in each other.

That the whole is what overlayfs shows is tested in tests/kernel/test_same_tree.py.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lamina.formats.compose import composed
from lamina.formats.inodes import (
    CHARACTER,
    Attributes,
    Blocks,
    File,
    Folder,
    Node,
    Special,
    Symlink,
)

NAMES = st.sampled_from([b"a", b"b", b"c"])
ATTRIBUTES = st.builds(Attributes, st.integers(0, 3))
WHITEOUT = Special(Attributes(0), CHARACTER)


def file(attributes: Attributes, number: int) -> File:
    return File(attributes, 0, Blocks(0, ()), number)


LEAVES: st.SearchStrategy[Node] = st.one_of(
    st.builds(file, ATTRIBUTES, st.integers(0, 2)),
    st.builds(Symlink, ATTRIBUTES, st.sampled_from([b"a", b"b/c"])),
    st.just(WHITEOUT),
)


def folders(children: st.SearchStrategy[Node]) -> st.SearchStrategy[Folder]:
    return st.builds(
        lambda attributes, entries, opaque: Folder(
            attributes, dict(sorted(entries.items())), opaque
        ),
        ATTRIBUTES,
        st.dictionaries(NAMES, children, max_size=3),
        st.booleans(),
    )


NODES = st.recursive(LEAVES, folders, max_leaves=12)
ROOTS = folders(NODES).map(lambda root: Folder(root.attributes, root.entries))


def told(node: Node) -> object:
    """A node for comparison, whatever the number of the layer that it is from."""
    if isinstance(node, Folder):
        entries = [(name, told(inner)) for name, inner in node.entries.items()]
        return ("folder", node.attributes, node.opaque, entries)
    if isinstance(node, File):
        return ("file", node.attributes, node.number)
    return node


@given(st.lists(ROOTS, min_size=1, max_size=6), st.lists(st.booleans(), min_size=6, max_size=6))
def test_runs_of_layers_are_together_what_the_layers_are(
    layers: list[Folder], cuts: list[bool]
) -> None:
    runs: list[list[Folder]] = [[]]
    for layer, cut in zip(layers, cuts, strict=False):
        runs[-1].append(layer)
        if cut:
            runs.append([])
    parts = [composed(run, is_bottom=not number) for number, run in enumerate(filter(None, runs))]

    assert told(composed(parts, is_bottom=True)) == told(composed(layers, is_bottom=True))


@given(st.lists(ROOTS, min_size=1, max_size=4))
def test_what_is_seen_has_no_marks(layers: list[Folder]) -> None:
    def marks(folder: Folder) -> int:
        found = int(folder.opaque)
        for node in folder.entries.values():
            found += marks(node) if isinstance(node, Folder) else int(node == WHITEOUT)
        return found

    assert marks(composed(layers, is_bottom=True)) == 0


@given(ROOTS)
def test_files_tell_which_layer_they_are_from(root: Folder) -> None:
    upper = Folder(Attributes(0), {b"z": file(Attributes(0), 1)})

    found = composed([root, upper], is_bottom=True).entries[b"z"]

    assert isinstance(found, File)
    assert found.image == 1
