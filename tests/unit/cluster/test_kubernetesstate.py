from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.cluster import kubernetesstate as states
from lamina.cluster.kubernetesstate import Pod
from lamina.cluster.launcher import State, Status


def job(element: int = 0, **status: Any) -> dict[str, Any]:
    return {"metadata": {"labels": {"lamina.element": str(element)}}, "status": status}


def over(how: str, reason: str = "") -> list[dict[str, str]]:
    return [{"type": how, "status": "True", "reason": reason, "message": "said\nmore"}]


def pod(index: int, state: State, **more: Any) -> Pod:
    return Pod(f"p-{index}", 0, index, state, 1.0, **more)


def of(document: dict[str, Any], *pods: Pod, count: int = 1, gone: State = State.LOST) -> Status:
    return states.status([document], pods, count, 1, gone)


@given(st.sets(st.integers(0, 300)))
def test_indexes_that_are_done_are_read(wanted: set[int]) -> None:
    words: list[str] = []
    for index in sorted(wanted):
        if index - 1 in wanted:
            words[-1] = f"{words[-1].partition('-')[0]}-{index}"
        else:
            words.append(str(index))

    assert states.indices(",".join(words)) == wanted


@pytest.mark.parametrize("text", ["", ",", "x", "1-x", "-", "3-"])
def test_what_are_no_indexes_is_none(text: str) -> None:
    assert states.indices(text) <= {3}


def test_a_job_whose_own_clock_ran_out_is_a_timeout() -> None:
    found = of(job(conditions=over("Failed", "DeadlineExceeded")))

    assert (found.state, found.reason) == (State.TIMEOUT, "its time was over")


def test_without_pods_the_job_tells_what_it_knows() -> None:
    found = of(job(conditions=over("Failed", "BackoffLimitExceeded")))
    assert (found.state, found.reason) == (State.FAILED, "BackoffLimitExceeded: said")

    done = of(job(conditions=over("Complete"), completedIndexes="0-1"), count=2)
    assert [task.state for task in done.tasks] == [State.SUCCEEDED] * 2


def test_tasks_that_were_ended_as_another_failed_are_cancelled() -> None:
    failed = pod(1, State.FAILED, exit_code=4, ended=5.0)
    found = of(
        job(conditions=over("Failed", "FailedIndexes"), completedIndexes="2"), failed, count=4
    )

    assert [task.state for task in found.tasks] == [
        State.CANCELLED, State.FAILED, State.SUCCEEDED, State.CANCELLED,
    ]  # fmt: skip
    assert found.exit_code == 4


def test_a_suspended_job_waits() -> None:
    document = {**job(), "spec": {"suspend": True}}

    assert of(document).reason == "it is suspended"
    assert of(document).state is State.PENDING


def test_a_job_that_is_ending_is_not_over() -> None:
    found = of(job(conditions=over("FailureTarget")), pod(0, State.RUNNING, started=2.0))

    assert found.state is State.RUNNING


def test_of_jobs_that_are_gone_it_is_told_why() -> None:
    lost = states.status([], [], 2, 1, State.LOST)
    assert [task.state for task in lost.tasks] == [State.LOST] * 2
    assert states.status([], [], 2, 1, State.CANCELLED).state is State.CANCELLED


@pytest.mark.parametrize("found", [{}, {"metadata": {}}, {"metadata": {"annotations": None}}])
def test_pods_of_others_are_none_of_a_job(found: dict[str, Any]) -> None:
    assert states.pod(found) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1970-01-01T00:01:00Z", 60.0), ("1970-01-01T00:00:00.5Z", 0.5), ("", 0.0), (None, 0.0)],
)
def test_times_are_read(text: object, seconds: float) -> None:
    assert states.when(text) == seconds


@pytest.mark.parametrize("how", ["Complete", "Failed"])
def test_what_ends_because_it_is_deleted_did_not_end_by_itself(how: str) -> None:
    ended = [{**over(how)[0], "lastTransitionTime": "2030-01-01T00:00:05Z"}]
    found = job(conditions=ended)

    found["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:05Z"
    going = of(found, pod(0, State.SUCCEEDED))
    assert (going.state.is_over, going.reason) == (False, "it is being cancelled")

    found["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:06Z"
    assert of(found).state.is_over
