"""What a closure leaves out where faults are put up with."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from lamina.build.faults import FaultReport, Tolerance
from lamina.build.loader import Loader
from lamina.core.label import Label, Pattern

Write = Callable[[Mapping[str, str]], Loader]

BROKEN = {
    "a/BUILD": "filegroup(",
    "b/BUILD": """
filegroup(name = "absent", srcs = ["nope"])
filegroup(name = "above", srcs = [":absent"])
filegroup(name = "cycle", srcs = [":cycle2"])
filegroup(name = "cycle2", srcs = [":cycle"])
filegroup(name = "hidden", srcs = ["//c:private"])
filegroup(name = "unloaded", srcs = ["//a:x"])
filegroup(name = "undecided", srcs = select({":none": []}))
filegroup(name = "sound", srcs = ["//c:sound"])
""",
    "c/BUILD": 'filegroup(name = "sound", visibility = ["PUBLIC"])\nfilegroup(name = "private")',
}


def tolerant(loader: Loader) -> Tolerance:
    loader.tolerance = Tolerance()
    return loader.tolerance


def test_only_what_has_no_fault_below_it_is_left(write: Write) -> None:
    loader = write(BROKEN)
    tolerance = tolerant(loader)

    chosen = loader.resolve([Pattern.parse("//...")])
    found = loader.closure(chosen)

    assert sorted(map(str, found)) == ["//b:sound", "//c:private", "//c:sound"]
    lost = ["above", "absent", "cycle", "cycle2", "hidden", "undecided", "unloaded"]
    assert sorted(label.name for label in tolerance.lost) == lost


def test_all_faults_are_known_afterwards(write: Write) -> None:
    loader = write(BROKEN)
    tolerance = tolerant(loader)

    loader.closure(loader.resolve([Pattern.parse("//...")]))

    places = sorted({str(fault.place) for fault in tolerance.faults})
    assert places == [
        "a/BUILD:1:10",
        "b/BUILD:2:36",
        "b/BUILD:4:35",
        "b/BUILD:6:36",
        "b/BUILD:8:46",
    ]


def test_a_target_that_was_named_is_lost_like_any_other(write: Write) -> None:
    loader = write(BROKEN)
    tolerance = tolerant(loader)

    found = loader.closure([Label("", "b", "absent"), Label("", "b", "sound")])

    assert [label.name for label in found] == ["sound", "sound"]
    assert tolerance.lost == {Label("", "b", "absent")}


def test_without_tolerance_a_fault_is_raised(write: Write) -> None:
    loader = write(BROKEN)

    with pytest.raises(FaultReport):
        loader.closure([Label("", "b", "absent"), Label("", "b", "sound")])
