"""The closure of C++ libraries: the order in which headers are searched and libraries linked."""

from __future__ import annotations

from lamina.build.providers import CxxInfo, closure


def test_a_library_stands_before_what_it_depends_on() -> None:
    bottom = CxxInfo(flags=("bottom",))
    middle = CxxInfo(flags=("middle",), deps=(bottom,))
    top = CxxInfo(flags=("top",), deps=(middle, bottom))

    assert [info.flags[0] for info in top.closure()] == ["top", "middle", "bottom"]


def test_a_shared_library_is_there_once() -> None:
    shared = CxxInfo()
    left, right = CxxInfo(deps=(shared,)), CxxInfo(deps=(shared,))

    found = closure((left, right))

    assert len(found) == 3
    assert found[-1] is shared


def test_two_libraries_that_say_the_same_are_still_two() -> None:
    assert len(closure((CxxInfo(), CxxInfo()))) == 2


def test_siblings_keep_their_order() -> None:
    first, second, third = CxxInfo(), CxxInfo(), CxxInfo()

    assert closure((first, second, third)) == (first, second, third)
