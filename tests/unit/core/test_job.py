"""Jobs as values: how many tasks, which elements, and what contradicts itself."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.core import job
from lamina.core.errors import UserError
from lamina.core.job import Job, Spec

WORDS = st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))


@pytest.mark.parametrize(
    ("spec", "count"),
    [
        (Spec(), 1),
        (Spec(nodes=4), 4),
        (Spec(tasks_per_node=3), 3),
        (Spec(nodes=4, tasks_per_node=2), 8),
        (Spec(tasks=5), 5),
        (Spec(nodes=2, tasks=5), 5),
    ],
)
def test_the_number_of_tasks(spec: Spec, count: int) -> None:
    job.check(spec)
    assert spec.count == count


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (Spec(nodes=2, tasks_per_node=2, tasks=5), "5 tasks are not 2 nodes with 2 each"),
        (Spec(nodes=3, tasks=2), "3 nodes are too many for 2 tasks"),
        (Spec(time_limit=60, warning=60), "the warning comes before the time limit"),
        (Spec(mounts=("data:/data",)), "`data:/data` is no mount"),
        (Spec(mounts=("/data",)), "`/data` is no mount"),
        (Spec(mounts=("/a:/b:rx",)), "`/a:/b:rx` is no mount"),
        (Spec(environment=(("A-B", "x"),)), "`A-B` is no name of a variable"),
        (Spec(environment=(("1A", "x"),)), "`1A` is no name of a variable"),
        (Spec(setup=("a\0b",)), "a NUL is in a text"),
        (Spec(array=("a\0b",)), "a NUL is in a text"),
    ],
)
def test_what_contradicts_itself_is_told(spec: Spec, message: str) -> None:
    with pytest.raises(UserError) as caught:
        job.check(spec)
    assert message in caught.value.message


def test_what_does_not_is_taken() -> None:
    job.check(
        Spec(
            nodes=2, tasks_per_node=2, tasks=4, time_limit=60, warning=59, array=("--a 'b c'", ""),
            mounts=("/a:/b", "/a:/b:ro", "/a:/b:rw"), environment=(("_A1", "x"),),
        )
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ((), ()),
        (("0-2",), ("", "", "")),
        (("--lr 1", "--lr 2"), ("--lr 1", "--lr 2")),
        (("0-1", "x"), ("", "", "x")),
        (("3",), ("3",)),
    ],
)
def test_arrays_as_they_are_typed(words: tuple[str, ...], found: tuple[str, ...]) -> None:
    assert job.elements(words) == found


@pytest.mark.parametrize("word", ["1-3", "3-0", "'open", "0-10000"])
def test_other_words_are_no_array(word: str) -> None:
    with pytest.raises(UserError):
        job.elements((word,))


@given(st.lists(WORDS, min_size=1, max_size=4))
def test_elements_are_read_as_a_shell_reads_them(elements: list[list[str]]) -> None:
    spec = Spec(array=tuple(map(shlex.join, elements)))

    assert spec.elements == tuple(map(tuple, elements))


def test_no_array_is_one_element_without_arguments() -> None:
    assert Spec().elements == ((),)


def test_a_product_has_every_combination_and_the_last_changes_soonest() -> None:
    found = job.product((("lr", ("0.1", "1")), ("name", ("a b", "c"))))

    assert [shlex.split(each) for each in found] == [
        ["--lr=0.1", "--name=a b"],
        ["--lr=0.1", "--name=c"],
        ["--lr=1", "--name=a b"],
        ["--lr=1", "--name=c"],
    ]
    assert job.product(()) == ()


@pytest.mark.parametrize(
    ("label", "name"), [("//a/b:train", "train"), ("//:job", "job"), ("train", "train")]
)
def test_people_call_a_job_as_its_target(label: str, name: str) -> None:
    assert Job("x", label, "", Spec()).name == name
