"""The steps of a job: one after the other, for each task, with what is known so far."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.cluster import stages
from lamina.cluster.launcher import State, Status, Task
from lamina.cluster.records import Record
from lamina.cluster.stages import Stage, Summary
from lamina.core.job import Job, Spec

HERE = {"build": 2.0, "push": 1.0, "submit": 0.5}
BEGUN = (("begin", 104.0), ("pulled", 106.0), ("mounted", 106.5), ("started", 106.75))


def record(seconds: dict[str, float] | None = None) -> Record:
    job = Job("j-1", "//:j", "p@sha256:0", Spec())
    return Record(
        job, "c", "1", Path("/nowhere"), 100.0, seconds=HERE if seconds is None else seconds
    )


def running(*tasks: Task, state: State = State.RUNNING, ended: float = 0.0) -> Status:
    return Status(state, tasks=tasks, ended=ended)


def spans(found: list[Stage], task: int | None) -> list[tuple[str, float, float]]:
    return [(each.name, each.begin, each.end) for each in found if each.task == task]


def test_steps_follow_each_other() -> None:
    task = Task(0, State.SUCCEEDED, 0, "en1", BEGUN, ended=110.0)

    found = stages.of(record(), running(task))

    assert spans(found, None) == [
        ("build", 100.0, 102.0), ("push", 102.0, 103.0), ("submit", 103.0, 103.5),
    ]  # fmt: skip
    assert spans(found, 0) == [
        ("queue", 103.5, 104.0), ("pull", 104.0, 106.0), ("mount", 106.0, 106.5),
        ("enter", 106.5, 106.75), ("run", 106.75, 110.0),
    ]  # fmt: skip
    assert {each.node for each in found} == {"", "en1"}
    assert tuple(each.name for each in found) == stages.NAMES


def test_a_task_that_has_told_nothing_has_no_steps() -> None:
    assert spans(stages.of(record(), running(Task(0, State.PENDING)), 200.0), 0) == []


def test_a_task_that_is_on_its_way_has_those_that_it_has_told() -> None:
    found = stages.of(record(), running(Task(0, State.RUNNING, times=BEGUN[:2])), 200.0)

    assert [name for name, *_ in spans(found, 0)] == ["queue", "pull"]


def test_a_program_that_runs_is_told_until_now_where_that_is_given() -> None:
    status = running(Task(0, State.RUNNING, times=BEGUN))

    assert spans(stages.of(record(), status), 0)[-1][0] == "enter"
    assert spans(stages.of(record(), status, 120.0), 0)[-1] == ("run", 106.75, 120.0)


def test_the_end_of_the_job_is_that_of_tasks_that_tell_none() -> None:
    status = running(Task(0, State.SUCCEEDED, 0, "", BEGUN), state=State.SUCCEEDED, ended=130.0)

    assert spans(stages.of(record(), status, 200.0), 0)[-1] == ("run", 106.75, 130.0)


def test_a_clock_that_goes_before_ours_gives_no_negative_time() -> None:
    early = tuple((name, at - 50) for name, at in BEGUN)

    found = stages.of(record(), running(Task(0, State.SUCCEEDED, 0, "", early, ended=60.0)))

    assert [each.seconds for each in found if each.task == 0] == [0, 0, 0, 0, 0]


@given(st.lists(st.floats(0, 1e6), min_size=4, max_size=4), st.floats(0, 1e6))
def test_no_step_is_negative_or_overlaps_the_one_before(times: list[float], ended: float) -> None:
    told = tuple(zip(("begin", "pulled", "mounted", "started"), times, strict=True))

    found = [s for s in stages.of(record(), running(Task(0, State.FAILED, 1, "", told, ended)))
             if s.task == 0]  # fmt: skip

    for before, after in itertools.pairwise(found):
        assert after.begin >= before.end - 1e-6
    assert all(each.seconds >= 0 for each in found)


def test_a_summary_has_each_step_once() -> None:
    found = [
        Stage("build", 0, 3), Stage("pull", 4, 1, 0, "a"), Stage("pull", 4, 5, 1, "b"),
        Stage("pull", 4, 2, 2, "c"),
    ]  # fmt: skip

    assert stages.summary(found) == [Summary("build", 3, 3, ""), Summary("pull", 2, 5, "b")]
    assert stages.summary([]) == []


def test_until_all_run_is_told_with_and_without_the_queue() -> None:
    late = tuple((name, at + 10) for name, at in BEGUN)
    tasks = (Task(0, State.RUNNING, times=BEGUN), Task(1, State.RUNNING, times=late))

    found = stages.until_running(stages.of(record(), running(*tasks)))

    assert found == pytest.approx((16.75, 16.75 - 10.5))
    assert stages.until_running(stages.of(record(), running())) is None
