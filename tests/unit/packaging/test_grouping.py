"""Layouts: what rules give, and what is learnt from histories."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.packaging import grouping
from lamina.packaging.grouping import AUTO, Lesson, Member

NAMES = [f"//p{number % 4}:t{number}" for number in range(24)]
MEMBERS = [
    Member(name, name.partition(":")[0], frozenset({f"{number}.py"}), (f"{number}.py",))
    for number, name in enumerate(NAMES)
]
SIZES = {f"{number}.py": 1000 * (number + 1) for number in range(24)}

files = st.lists(st.sampled_from(sorted(SIZES)), max_size=6, unique=True).map(tuple)
lessons = st.lists(
    st.builds(
        Lesson,
        st.lists(files, max_size=30).map(tuple),
        st.lists(st.sampled_from(sorted(SIZES)), unique=True).map(
            lambda paths: {path: SIZES[path] for path in paths}
        ),
        new=st.just(0),
    ),
    max_size=3,
)


@given(lessons, st.integers(1, 30), st.permutations(MEMBERS))
def test_whatever_is_learnt_each_target_is_in_one_layer_and_there_are_not_too_many(
    taught: list[Lesson], most: int, members: list[Member]
) -> None:
    layout = grouping.auto(members, taught, most)

    assert sorted(name for group in layout for name in group) == sorted(NAMES)
    assert len(layout) <= most
    assert layout == grouping.auto(MEMBERS, taught, most)


@pytest.mark.parametrize("strategy", [s for s in grouping.STRATEGIES if s != AUTO])
def test_a_rule_puts_each_target_in_one_layer(strategy: str) -> None:
    layout = grouping.rules(strategy, MEMBERS)

    assert sorted(name for group in layout for name in group) == sorted(NAMES)
    assert len(layout) == {"per-target": 24, "per-package": 4, "single": 1}[strategy]


def test_targets_of_one_build_package_share_a_layer_per_package() -> None:
    assert grouping.per_package(MEMBERS)[0] == ("//p0:t0", "//p0:t12", "//p0:t16", "//p0:t20",
        "//p0:t4", "//p0:t8")  # fmt: skip


def test_targets_that_change_together_come_into_one_layer_wherever_they_lie() -> None:
    commits = tuple(("1.py", "6.py") if n % 2 else ("3.py", "12.py") for n in range(40))

    layout = grouping.auto(MEMBERS, [Lesson(commits, SIZES)], 6)

    assert ("//p1:t1", "//p2:t6") in layout
    assert ("//p0:t12", "//p3:t3") in layout


def test_what_changed_of_late_counts_more_than_what_changed_long_ago() -> None:
    members = [Member(n, "//p", frozenset({n}), (n,)) for n in ("one", "two", "rests", "tiny")]
    sizes = {"one": 10**5, "two": 10**5, "rests": 3 * 10**5, "tiny": 1}
    first, second = (("one",),) * 30, (("two",),) * 30
    between: tuple[tuple[str, ...], ...] = ((),) * 1500

    layout = grouping.auto(members, [Lesson((*first, *between, *second), sizes)], 3)
    turned = grouping.auto(members, [Lesson((*second, *between, *first), sizes)], 3)

    assert ("one", "rests") in layout
    assert ("rests", "two") in turned


def test_a_new_target_comes_into_a_layer_of_new_ones_and_moves_no_other() -> None:
    known = {path: size for path, size in SIZES.items() if path not in ("22.py", "23.py")}
    lesson = Lesson(tuple((f"{n % 7}.py", f"{n % 5}.py") for n in range(50)), known)

    without = grouping.auto(MEMBERS[:-2], [lesson], 10)
    with_one = grouping.auto(MEMBERS[:-1], [lesson], 10)
    with_two = grouping.auto(MEMBERS, [lesson], 10)

    assert set(with_one) - set(without) == {("//p2:t22",)}
    assert len(set(without) - set(with_two)) == 0


def test_a_later_lesson_leaves_the_layers_alone_that_it_says_nothing_of() -> None:
    commits = tuple((f"{n % 12}.py", f"{(n + 1) % 12}.py") for n in range(60))
    first = grouping.auto(MEMBERS, [Lesson(commits, SIZES)], 8)
    later = Lesson((*commits, ("20.py",)), SIZES, new=1)

    second = grouping.auto(MEMBERS, [Lesson(commits, SIZES), later], 8)

    assert len(set(first) & set(second)) >= 6


def test_a_commit_that_touches_all_teaches_nothing() -> None:
    members = [Member(f"t{n:03}", "//p", frozenset({f"{n}"}), (f"{n}",)) for n in range(300)]
    sizes = {f"{n}": 1000 for n in range(300)}
    commits = tuple((f"{n % 9}",) for n in range(100))
    everything = tuple(sizes)

    plain = grouping.auto(members, [Lesson(commits, sizes)], 20)
    mixed = grouping.auto(members, [Lesson((*commits[:50], everything, *commits[50:]), sizes)], 20)

    assert len(set(plain) & set(mixed)) > 10


def test_without_a_history_build_packages_stay_together() -> None:
    layout = grouping.auto(MEMBERS, [], 6)

    assert all(any(set(group) <= set(layer) for layer in layout) for group in
               grouping.per_package(MEMBERS))  # fmt: skip


def test_a_source_that_is_a_folder_is_touched_by_what_lies_in_it() -> None:
    readers = grouping.readers_of([Member("//:a", "//", frozenset({"data"}))])

    assert grouping.touched_by(["data/deep/file"], readers) == {0}
    assert grouping.touched_by(["database"], readers) == set()


@given(st.integers(1, 200_000))
def test_anchors_ascend_to_a_commit_not_far_back(count: int) -> None:
    found = grouping.anchors(count)

    assert all(a < b for a, b in pairwise(found))
    assert 0 < found[-1] <= count
    assert count - found[-1] < 64
    assert len(found) <= 8


def test_the_anchors_change_seldom_and_the_first_ones_least() -> None:
    all_ = [grouping.anchors(count) for count in range(1024, 4096)]

    assert sum(a != b for a, b in pairwise(all_)) <= 3072 // 64
    assert len({found[0] for found in all_}) == 1
    assert grouping.anchors(0) == ()


@given(st.integers(0, 2**40))
def test_a_rounded_size_is_less_than_twice_the_size(size: int) -> None:
    assert size <= grouping.rounded(size) < 2 * size or size == grouping.rounded(size)
