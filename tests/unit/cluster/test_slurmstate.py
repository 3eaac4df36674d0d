"""What Slurm's programs print, as version 22.05 printed it."""

from __future__ import annotations

import itertools
import time

import pytest

from lamina.cluster import slurmstate
from lamina.cluster.launcher import State
from lamina.cluster.slurmstate import Element

RUNNING = (
    "JobId=7 JobName=train UserId=root(0) GroupId=root(0) MCS_label=N/A Priority=4294901753 Nice=0 "
    "Account=(null) QOS=(null) JobState=RUNNING Reason=None Dependency=(null) Requeue=1 Restarts=2 "
    "BatchFlag=1 Reboot=0 ExitCode=0:0 RunTime=00:00:01 TimeLimit=UNLIMITED TimeMin=N/A "
    "SubmitTime=2026-11-26T03:20:01 EligibleTime=2026-11-26T03:20:01 AccrueTime=Unknown "
    "StartTime=2026-11-26T03:20:02 EndTime=Unlimited Deadline=N/A Partition=main "
    "AllocNode:Sid=vm:11 ReqNodeList=(null) ExcNodeList=(null) NodeList=en[1-4] BatchHost=en1 "
    "NumNodes=4 NumCPUs=4 NumTasks=4 CPUs/Task=1 Comment=lamina:train-3f9a WorkDir=/w\n"
)
PENDING = (
    "JobId=8 ArrayJobId=8 ArrayTaskId=2-4,9%2 JobName=a JobState=PENDING Reason=Resources "
    "Restarts=0 ExitCode=0:0 StartTime=Unknown EndTime=Unknown NodeList=(null)\n"
)
FAILED = (
    "JobId=9 ArrayJobId=8 ArrayTaskId=1 JobName=a JobState=FAILED Reason=NonZeroExitCode "
    "Restarts=0 ExitCode=7:0 StartTime=2026-11-26T03:20:02 EndTime=2026-11-26T03:20:05 "
    "NodeList=en1\n"
)


def seconds(text: str) -> float:
    return time.mktime(time.strptime(text, "%Y-%m-%d %H:%M:%S"))


def test_a_job_that_runs() -> None:
    assert slurmstate.elements(RUNNING) == [
        Element(
            State.RUNNING, (0,), None, "", "en[1-4]", 2, seconds("2026-11-26 03:20:02"), 0.0,
            "lamina:train-3f9a", "train",
        )
    ]  # fmt: skip


def test_an_array_that_partly_waits() -> None:
    pending, failed = slurmstate.elements(PENDING + FAILED)

    assert pending == Element(State.PENDING, (2, 3, 4, 9), reason="Resources", name="a")
    assert failed == Element(
        State.FAILED, (1,), 7, "", "en1", 0,
        seconds("2026-11-26 03:20:02"), seconds("2026-11-26 03:20:05"), "", "a",
    )  # fmt: skip


def test_what_is_no_job_is_passed_by() -> None:
    assert slurmstate.elements("slurm_load_jobs error: Invalid job id specified\n\n") == []


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("COMPLETED", State.SUCCEEDED),
        ("CANCELLED by 1000", State.CANCELLED),
        ("COMPLETED+", State.SUCCEEDED),
        ("NODE_FAIL", State.NODE_FAILED),
        ("OUT_OF_MEMORY", State.OUT_OF_MEMORY),
        ("COMPLETING", State.RUNNING),
        ("UNHEARD_OF", State.LOST),
        ("", State.LOST),
    ],
)
def test_words_are_states(word: str, state: State) -> None:
    assert slurmstate.state_of(word) is state


@pytest.mark.parametrize(
    ("text", "code"), [("0:0", 0), ("7:0", 7), ("0:9", 137), ("1:15", 1), ("", None), ("x:1", None)]
)
def test_exit_codes(text: str, code: int | None) -> None:
    assert slurmstate.exit_code(text) == code


@pytest.mark.parametrize("text", ["Unknown", "N/A", "", "Unlimited"])
def test_what_is_no_time_is_0(text: str) -> None:
    assert slurmstate.when(text) == 0


@pytest.mark.parametrize(
    ("states", "merged"),
    [
        ([], State.LOST),
        ([State.PENDING, State.PENDING], State.PENDING),
        ([State.PENDING, State.SUCCEEDED], State.RUNNING),
        ([State.FAILED, State.RUNNING], State.RUNNING),
        ([State.SUCCEEDED, State.SUCCEEDED], State.SUCCEEDED),
        ([State.SUCCEEDED, State.CANCELLED], State.CANCELLED),
        ([State.CANCELLED, State.FAILED], State.FAILED),
        ([State.FAILED, State.OUT_OF_MEMORY], State.OUT_OF_MEMORY),
    ],
)
def test_the_state_of_several_elements(states: list[State], merged: State) -> None:
    assert slurmstate.merged(states) is merged


def test_any_states_have_one_in_any_order() -> None:
    for first, second in itertools.product(State, repeat=2):
        assert slurmstate.merged([first, second]) is slurmstate.merged([second, first])


def test_srun_tells_how_tasks_ended() -> None:
    text = (
        "srun: error: en2: tasks 1,4-6: Exited with exit code 7\n"
        "srun: error: en1: task 0: Killed\n"
        "srun: error: en3: task 2: Segmentation fault (core dumped)\n"
        "srun: error: en4: task 3: Out Of Memory\n"
        "srun: launch/slurm: _step_signal: Terminating StepId=3.0\n"
        "srun: error: en2: task 1: Terminated\n"
    )

    assert slurmstate.ends(text) == {1: 7, 4: 7, 5: 7, 6: 7, 0: 137, 2: 139, 3: 137}
