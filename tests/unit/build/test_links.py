"""What symlinks among outputs become."""

from __future__ import annotations

import pytest

from lamina.build.links import resolved
from lamina.core.digest import Digest
from lamina.core.tree import File, Folder, Node, Symlink

DATA, OTHER = File(Digest.of(b"data")), File(Digest.of(b"other"), executable=True)
INPUTS: dict[str, Node] = {
    "p/in.txt": DATA,
    "p/link.txt": Symlink("in.txt"),
    "p/loop": Symlink("loop"),
    "p/folder": Folder(),
}


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ({"x": Symlink("../p/in.txt")}, DATA),
        ({"x": Symlink("/work/p/in.txt")}, DATA),
        ({"x": Symlink("../p/link.txt")}, DATA),
        ({"x": Symlink("undeclared"), "undeclared": OTHER}, OTHER),
        ({"x": Symlink("q/staged"), "q/staged": Symlink("../../p/in.txt")}, DATA),
        ({"x": Symlink("y"), "y": OTHER}, Symlink("y")),  # another output
        ({"x": Symlink("../p/folder")}, Symlink("../p/folder")),
        ({"x": Symlink("../p/loop")}, Symlink("../p/loop")),
        ({"x": Symlink("/usr/bin/true")}, Symlink("/usr/bin/true")),
        ({"x": Symlink("nowhere")}, Symlink("nowhere")),
        ({"x": DATA}, DATA),
    ],
)
def test_a_link_to_what_only_the_action_saw_becomes_a_file(
    made: dict[str, Node], expected: Node
) -> None:
    found = resolved(made, INPUTS, ("x", "y"), "/work")

    assert found == {**made, "x": expected}


def test_links_in_folders_stay() -> None:
    made: dict[str, Node] = {"tree/x": Symlink("../../p/in.txt")}

    assert resolved(made, INPUTS, ("tree",), "/work") == made
