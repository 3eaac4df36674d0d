"""Which tests filters let pass."""

from __future__ import annotations

import pytest

from lamina.build.rule import Rule
from lamina.build.target import Target
from lamina.build.testing.selection import Filters, in_suite, is_test, words
from lamina.core.label import Label


def target(rule: str, *tags: str, size: str = "small") -> Target:
    made = Rule(rule, {}, lambda: None)
    return Target(Label("", "a", "x"), made, {"tags": tags, "size": size}, ())


@pytest.mark.parametrize(
    ("filters", "passes"),
    [
        (Filters(), True),
        (Filters(tags=("slow",)), True),
        (Filters(tags=("slow", "other")), True),
        (Filters(tags=("other",)), False),
        (Filters(tags=("slow", "-db")), False),
        (Filters(tags=("-other",)), True),
        (Filters(sizes=("small", "large")), True),
        (Filters(sizes=("-small",)), False),
        (Filters(languages=("py",)), True),
        (Filters(languages=("cc", "sh")), False),
    ],
)
def test_filters_name_what_is_wanted_and_what_is_not(filters: Filters, passes: bool) -> None:
    assert filters.admit(target("python_test", "slow", "db")) is passes


@pytest.mark.parametrize(
    ("suite", "taken"),
    [((), True), (("slow",), True), (("slow", "other"), False), (("-slow",), False),
     (("manual",), True)],
)  # fmt: skip
def test_the_tags_of_a_suite_choose(suite: tuple[str, ...], taken: bool) -> None:
    assert in_suite(target("test_suite", *suite), target("sh_test", "slow")) is taken


def test_a_test_is_known_by_the_name_of_its_rule() -> None:
    assert is_test(target("my_test"))
    assert not is_test(target("test_suite"))


def test_words_may_be_parted_by_commas() -> None:
    assert words(["a,-b", "c", ""]) == ("a", "-b", "c")
