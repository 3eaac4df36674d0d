"""The closure of C++ libraries: the order in which headers are searched and libraries linked."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lamina.build.providers import CxxInfo, closure


def test_a_library_stands_before_what_it_depends_on() -> None:
    bottom = CxxInfo(root="bottom")
    middle = CxxInfo(root="middle", deps=(bottom,))
    top = CxxInfo(root="top", deps=(middle, bottom))

    assert [info.root for info in top.shown] == ["top", "middle", "bottom"]
    assert [info.root for info in closure((bottom, top))] == ["top", "middle", "bottom"]


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


def test_a_hidden_library_is_linked_and_not_shown() -> None:
    hidden = CxxInfo()
    top = CxxInfo(deps=(CxxInfo(hidden=(hidden,)),))

    assert hidden not in top.shown
    assert top.linked[-1] is hidden


@given(st.lists(st.lists(st.integers(min_value=0), max_size=4), min_size=1, max_size=12))
def test_dependents_stand_before_dependencies_in_any_graph(edges: list[list[int]]) -> None:
    infos: list[CxxInfo] = []
    for mentioned in edges:
        infos.append(CxxInfo(deps=tuple(infos[n % len(infos)] for n in mentioned if infos)))

    found = closure(reversed(infos))

    assert set(found) == set(infos)
    places = {info: place for place, info in enumerate(found)}
    assert all(places[info] < places[dep] for info in infos for dep in info.deps)
