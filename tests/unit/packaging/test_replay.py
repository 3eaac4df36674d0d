"""Replays: bytes counted by hand."""

from __future__ import annotations

from lamina.packaging import replay
from lamina.packaging.grouping import Layout, Member
from lamina.packaging.replay import Trial

SIZES = {"a": 1, "b": 10, "c": 100, "d": 1000}


def trial(*steps: str, known: str = "abcd") -> Trial:
    members = tuple(Member(name, f"p/{name}", frozenset({name})) for name in SIZES)
    return Trial(members, SIZES, frozenset(known), tuple(map(frozenset, steps)), {"a": {"c"}})


def test_a_commit_ships_the_layers_that_it_touches() -> None:
    layout: Layout = (("a", "b"), ("c", "d"))

    found = replay.replay("x", replay.fixed(layout), trial("a", "bc", ""))

    assert (found.mean, found.median, found.blobs) == ((11 + 1111 + 0) / 3, 11, 1.0)


def test_a_target_weighs_nothing_before_it_is_there() -> None:
    layout: Layout = (("a", "d"), ("b", "c"))

    found = replay.replay("x", replay.fixed(layout), trial("a", "d", "a", known="abc"))

    assert found.mean * 3 == 1 + 1001 + 1001


def test_a_new_layout_ships_the_layers_that_were_not_there_before() -> None:
    layouts: list[Layout] = [(("a", "b"), ("c", "d")), (("a", "b"), ("c",), ("d",))]

    found = replay.replay("x", lambda number: layouts[number], trial("a", "a"))

    assert found.mean * 2 == 11 + (11 + 100 + 1000)


def test_popularity_keeps_those_apart_that_most_others_need() -> None:
    needs = {"a": {"b"}, "b": {"d"}, "c": {"d"}}

    assert replay.dependents(needs) == {"b": 1, "d": 3}
    assert replay.popularity(trial().members, needs, 3) == (("d",), ("b",), ("a", "c"))


def test_folders_are_as_deep_as_there_may_be_layers() -> None:
    members = [Member(f"{f}/x", f) for f in ("a/b", "a/c", "d")]

    assert replay.folders(members, 3) == (("a/b/x",), ("a/c/x",), ("d/x",))
    assert replay.folders(members, 2) == (("a/b/x", "a/c/x"), ("d/x",))
    assert replay.folders(members, 1) == (("a/b/x", "a/c/x", "d/x"),)


def test_docker_has_third_party_code_then_libraries_then_the_application() -> None:
    members = [Member(n, "p") for n in ("//app:main", "//lib:a", "//third_party/python:numpy")]
    needs = {"//app:main": {"//lib:a", "//third_party/python:numpy"}}

    assert replay.docker(members, needs) == (
        ("//third_party/python:numpy",), ("//lib:a",), ("//app:main",)
    )  # fmt: skip


def test_every_way_is_compared_on_the_same_commits() -> None:
    layout: Layout = (("a",), ("b", "c", "d"))

    found = {each.name: each for each in replay.compare(trial("a", "a", "c"), 2, layout)}

    assert found["single"].mean == 1111
    assert found["per-target, unlimited"].mean * 3 == 102
    assert found["auto"].mean * 3 == 1 + 1 + 1110
