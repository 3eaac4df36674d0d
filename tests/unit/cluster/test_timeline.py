"""The chart of a job: in a terminal of any width, and as a picture."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.cluster import stages, timeline, timelinesvg
from lamina.cluster.stages import Stage
from lamina.cluster.timeline import Chart

FOUND = [
    Stage("build", 1000.0, 4.0),
    Stage("push", 1004.0, 1.0),
    Stage("queue", 1005.0, 1.0, 0, "en1"),
    Stage("pull", 1006.0, 2.0, 0, "en1"),
    Stage("enter", 1008.0, 0.0, 0, "en1"),
    Stage("run", 1008.0, 100.0, 0, "en1"),
]


def chart(found: Sequence[Stage], *, each_task: bool = False) -> Chart:
    made = timeline.chart(found, each_task=each_task)
    assert made is not None
    return made


def lines(found: Sequence[Stage], width: int = 56) -> list[str]:
    return list(timeline.lines(chart(found), width, colour=False))


def test_bars_are_as_long_as_their_steps_and_a_program_runs_on() -> None:
    assert lines(FOUND) == [
        "      0 s       2 s       4 s       6 s       8 s",
        "here  build---------------push-",
        "en1                            queuepull------run------>",
    ]


def test_the_chart_ends_with_a_program_that_ends_soon() -> None:
    short = [*FOUND[:-1], Stage("run", 1008.0, 0.5, 0, "en1")]

    assert chart(short).seconds == 8.5
    assert ">" not in "".join(lines(short))


def test_colours_change_no_letter() -> None:
    plain = lines(FOUND)

    coloured = list(timeline.lines(chart(FOUND), 56, colour=True))

    assert [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in coloured] == plain
    assert coloured != plain


def task(number: int, node: str, begun: float) -> list[Stage]:
    return [
        Stage("queue", 0, 1, number, node),
        Stage("enter", 1, begun - 1, number, node),
        Stage("run", begun, 9, number, node),
    ]


def test_a_node_is_shown_by_the_task_that_began_last() -> None:
    found = [*task(0, "a", 2), *task(1, "a", 4), *task(2, "b", 3), *task(3, "a", 3)]

    rows = chart(found).rows

    assert [row.name for row in rows] == ["a (3 tasks)", "b"]
    assert {stage.task for stage in rows[0].stages} == {1}


def test_each_task_has_a_row_when_asked() -> None:
    found = [*task(1, "a", 4), *task(0, "", 2)]

    assert [row.name for row in chart(found, each_task=True).rows] == ["task 0", "a task 1"]


def test_tasks_whose_node_is_not_known_are_no_group() -> None:
    assert [row.name for row in chart([*task(0, "", 2), *task(1, "", 3)]).rows] == [
        "task 0",
        "task 1",
    ]


def test_nothing_known_is_no_chart() -> None:
    assert timeline.chart([]) is None


SECONDS = st.floats(0, 1e5)
STAGES = st.lists(
    st.builds(
        Stage,
        st.sampled_from(stages.NAMES),
        SECONDS.map(lambda value: value + 1.7e9),
        SECONDS,
        st.none() | st.integers(0, 5),
        st.sampled_from(["", "a", "b"]),
    ),
    min_size=1,
    max_size=20,
)


@given(STAGES, st.integers(1, 200), st.booleans())
def test_any_steps_fit_any_terminal(found: list[Stage], width: int, each_task: bool) -> None:
    made = chart(found, each_task=each_task)

    for line in timeline.lines(made, width, colour=False):
        assert len(line) <= max(width, 20 + 2 + max(len(row.name) for row in made.rows))


@given(STAGES, st.text(), st.text())
def test_any_steps_are_a_picture(found: list[Stage], title: str, about: str) -> None:
    clean = re.sub(r"[^\x20-\ud7ff\ue000-\ufffd]", "", title)

    text = timelinesvg.draw(
        chart(found), clean, re.sub(r"[^ -~]", "", about), stages.summary(found)
    )

    root = ElementTree.fromstring(text)
    width = float(root.attrib["width"])
    for rectangle in root.iter("{http://www.w3.org/2000/svg}rect"):
        x, wide = float(rectangle.get("x", 0)), float(rectangle.attrib["width"])
        if "rx" not in rectangle.attrib:  # all but the legend
            assert 0 <= x <= width
            assert 0 <= wide <= width + 0.1


def test_a_picture_tells_each_step() -> None:
    text = timelinesvg.draw(chart(FOUND), "a < b", "about", stages.summary(FOUND))

    titles = [
        each.text for each in ElementTree.fromstring(text).iter() if each.tag.endswith("title")
    ]
    assert titles == [
        "a < b",
        "here: build, 4.000 s",
        "here: push, 1.000 s",
        "en1: queue, 1.000 s",
        "en1: pull, 2.000 s",
        "en1: run, 100.000 s",
    ]


@pytest.mark.parametrize(
    ("seconds", "most", "found"),
    [
        (10, 5, [0, 2, 4, 6, 8, 10]),
        (10, 4, [0, 5, 10]),
        (0.25, 5, [0, 0.05, 0.1, 0.15, 0.2, 0.25]),
        (7, 1, [0]),
        (3600, 10, [0, 500, 1000, 1500, 2000, 2500, 3000, 3500]),
    ],
)
def test_times_on_the_axis_are_round(seconds: float, most: int, found: list[float]) -> None:
    assert timeline.ticks(seconds, most) == found


@given(st.floats(1e-3, 1e7), st.integers(0, 50))
def test_times_on_the_axis_are_not_too_many(seconds: float, most: int) -> None:
    found = timeline.ticks(seconds, most)

    assert 1 <= len(found) <= max(most, 1) + 1
    assert found[-1] <= seconds * (1 + 1e-6)
