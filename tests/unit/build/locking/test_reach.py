"""Under which conditions each distribution is needed."""

from __future__ import annotations

from packaging.markers import Marker, default_environment

from lamina.build.locking.reach import markers
from lamina.formats.pylock import Distribution


def holds(marker: str, **values: str) -> bool:
    usual = {name: str(value) for name, value in default_environment().items()}
    return Marker(marker).evaluate({**usual, **values})


def test_conditions_on_a_way_hold_together_and_ways_are_one_or_the_other() -> None:
    found = [
        Distribution("a", "1", requires=("c ; os_name == 'nt'",)),
        Distribution("b", "1", requires=("c",)),
        Distribution("c", "1", requires=("a",)),
        Distribution("d", "1"),
    ]

    told = markers(["a", "b ; sys_platform == 'x'"], found)

    assert told["a", "1"] == ""
    assert told["b", "1"] == 'sys_platform == "x"'
    assert holds(told["c", "1"], os_name="nt", sys_platform="y")
    assert holds(told["c", "1"], os_name="posix", sys_platform="x")
    assert not holds(told["c", "1"], os_name="posix", sys_platform="y")
    assert ("d", "1") not in told


def test_extras_bring_what_they_add() -> None:
    found = [
        Distribution("a", "1", extras={"x": ("b",), "y": ("c",)}),
        Distribution("b", "1"),
        Distribution("c", "1"),
    ]

    assert markers(["a[x]"], found) == {("a", "1"): "", ("b", "1"): ""}


def test_versions_are_told_apart() -> None:
    found = [Distribution("a", "1"), Distribution("a", "2")]

    told = markers(["a==1 ; os_name == 'nt'", "a==2 ; os_name != 'nt'"], found)

    assert holds(told["a", "1"], os_name="nt")
    assert not holds(told["a", "2"], os_name="nt")
