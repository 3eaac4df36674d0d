"""What Starlark makes of a marked value, and what is found in it again."""

from __future__ import annotations

from lamina.build.markers import LABEL, Call, Selects


def one(*branches: tuple[object, object]) -> tuple[Selects, Call, object]:
    """A table with one call, the call, and what stands for it."""
    selects, call = Selects(), Call(branches)
    return selects, call, selects.mark(call)


def test_the_mark_has_the_type_of_the_first_branch_that_is_set() -> None:
    values = [["a"], "a", {"a": "b"}, True, 3, None, {LABEL: "//a:b"}]

    types = [type(one((":x", None), (":y", value))[2]) for value in values]

    assert types == [list, str, dict, str, str, str, str]


def test_values_without_a_mark_are_left_alone() -> None:
    selects, _, _ = one((":x", ["a"]))

    assert [selects.split(value) for value in (["a"], "a", {"a": "b"}, 1, None)] == [None] * 5


def test_a_list_is_parted_at_its_marks() -> None:
    selects, call, mark = one((":x", ["a"]))
    assert isinstance(mark, list)

    assert selects.split(["b", *mark, "c"]) == [["b"], call, ["c"]]


def test_a_string_is_parted_at_its_marks() -> None:
    selects, call, mark = one((":x", "a"))

    assert selects.split(f"b{mark}c{mark}") == ["b", call, "c", call]


def test_a_dict_is_parted_at_its_marks() -> None:
    selects, call, mark = one((":x", {"a": "b"}))
    assert isinstance(mark, dict)

    assert selects.split({"c": "d"} | mark) == [{"c": "d"}, call]


def test_what_a_macro_did_to_the_mark_is_done_to_each_element() -> None:
    selects, _, mark = one((":x", ["a", "b"]), (":y", None))
    assert isinstance(mark, list)

    parts = selects.split([f"//p:{element}.h" for element in mark])

    assert parts == [Call(((":x", ["//p:a.h", "//p:b.h"]), (":y", None)))]


def test_a_string_that_is_chosen_may_be_an_element_of_a_list_or_a_value_of_a_dict() -> None:
    selects, _, mark = one((":x", "a"))

    assert selects.split(["b", mark]) == [["b"], Call(((":x", ["a"]),))]
    assert selects.split({"k": f"-{mark}"}) == [Call(((":x", {"k": "-a"}),))]
