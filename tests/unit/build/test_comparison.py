"""Two actions of a farm, and what is not the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lamina.build import identity
from lamina.build.comparison import compare
from lamina.core.action import Action
from lamina.core.digest import Digest
from lamina.core.tree import File, Node, Symlink

A, B = File(Digest.of(b"a")), File(Digest.of(b"b"))
ACTION = Action("Shell", "//p:x", ("cc", "-c", "x.c"), (), ("x.o",), toolchain="gcc 12")
TREE: dict[str, Node] = {"x.c": A, "lib/y.h": A, "lib/deep/z.h": A}


def lines(
    before: identity.Described, after: identity.Described
) -> list[tuple[str, str, str | None, str | None]]:
    blobs = {**before.blobs, **after.blobs}
    found = compare(before.digest, after.digest, blobs.__getitem__)
    return [(each.kind, each.name, each.before, each.after) for each in found]


OLD = identity.described(ACTION, TREE)


@pytest.mark.parametrize(
    ("tree", "line"),
    [
        ({**TREE, "x.c": B}, ("input", "x.c", A.digest.short, B.digest.short)),
        ({**TREE, "n": B}, ("input", "n", None, B.digest.short)),
        (
            {**TREE, "lib/deep/z.h": Symlink("x")},
            ("input", "lib/deep/z.h", A.digest.short, "-> x"),
        ),
        (
            {**TREE, "x.c": replace(A, executable=True)},
            ("input", "x.c", A.digest.short, f"{A.digest.short} executable"),
        ),
    ],
)
def test_an_input_that_is_not_the_same_is_named_by_its_path(
    tree: dict[str, Node], line: tuple[str, str, str, str]
) -> None:
    assert lines(OLD, identity.described(ACTION, tree)) == [line]


def test_a_folder_that_is_gone_is_told_file_by_file() -> None:
    new = identity.described(ACTION, {"x.c": A})

    assert [line[:2] for line in lines(OLD, new)] == [
        ("input", "lib/deep/z.h"),
        ("input", "lib/y.h"),
    ]


@pytest.mark.parametrize(
    ("action", "line"),
    [
        (
            replace(ACTION, arguments=("cc", "-O2", "x.c")),
            ("argument", "-O2", "-c", "-O2"),
        ),
        (replace(ACTION, environment=(("A", "1"),)), ("environment", "A", None, "1")),
        (replace(ACTION, toolchain="gcc 13"), ("toolchain", "", "gcc 12", "gcc 13")),
    ],
)
def test_what_else_is_not_the_same_is_told_by_its_kind(
    action: Action, line: tuple[str, str, str, str]
) -> None:
    assert lines(OLD, identity.described(action, TREE)) == [line]


def test_the_platform_counts() -> None:
    new = identity.described(ACTION, TREE, platform=[("OSFamily", "linux")])

    assert lines(OLD, new) == [
        ("setting", "platform OSFamily=linux", None, "platform OSFamily=linux")
    ]


def test_a_name_that_came_among_those_that_are_not_read_is_told() -> None:
    old, new = (identity.described(ACTION, TREE, bytes([each]) * 32) for each in (1, 2))

    ((kind, name, before, after),) = lines(old, new)
    assert (kind, before, after) == ("setting", "01" * 6, "02" * 6)
    assert "names of inputs" in name


def test_the_same_action_has_no_difference() -> None:
    assert lines(OLD, identity.described(ACTION, TREE)) == []
