"""One text for every launcher: what jobs are told, how they end, and that it is told truly."""

from __future__ import annotations

import json

import pytest

from .conftest import Bench


def test_every_task_knows_where_it_stands(bench: Bench) -> None:
    job = bench.submit("--wait", target="//:job")

    assert bench.run("wait", job).returncode == 0
    for rank in range(2):
        found = dict(
            line.split("=", 1)
            for line in bench.call("logs", job, "--task", str(rank)).splitlines()
            if "=" in line  # not what was pulled before
        )
        assert found["RANK"] == found["LAMINA_TASK_INDEX"] == str(rank)
        assert found["WORLD_SIZE"] == found["LAMINA_TASK_COUNT"] == "2"
        assert found["LAMINA_JOB_ID"] == job
        assert found["GREETING"] == "hello you two"
        assert int(found["MASTER_PORT"]) > 1024
        assert "LAMINA_REPORT" not in found
        if bench.on == "lab":  # each has a machine of its own
            assert (found["LOCAL_RANK"], found["LOCAL_WORLD_SIZE"]) == ("0", "1")
            assert found["LAMINA_NODE_INDEX"] == str(rank)
        else:
            assert (found["LOCAL_RANK"], found["LOCAL_WORLD_SIZE"]) == (str(rank), "2")


def test_tasks_meet_at_the_master(bench: Bench) -> None:
    job = bench.submit("--tasks", "3", "--", "meet")

    assert bench.run("wait", job).returncode == 0
    assert {"0: met 1", "0: met 2"} <= set(bench.call("logs", job).splitlines())


@pytest.mark.parametrize(
    ("what", "code", "state", "reason"),
    [
        ("ok", 0, "succeeded", ""),
        ("fail", 7, "failed", "task 1 ended with 7"),
        ("signal", 139, "failed", "task 0 ended with 139"),
    ],
)
def test_the_end_is_told_as_it_was(
    bench: Bench, what: str, code: int, state: str, reason: str
) -> None:
    job = bench.submit("-N", "1", "--tasks-per-node", "2", "--", what)

    assert bench.run("wait", job).returncode == code
    found = bench.status(job)
    assert (found["state"], found["reason"]) == (state, reason)
    assert found["exit_code"] == code
    if code:
        assert code in {task["exit_code"] for task in found["tasks"]}


def test_a_job_that_is_followed_ends_as_the_job_does(bench: Bench) -> None:
    done = bench.run("submit", "//:probe", "--on", bench.on, "-f", "-q", "-n", "2", "--", "fail")

    assert done.returncode == 7
    lines = {line for line in done.stdout.splitlines() if ": pulled `" not in line}
    # The task that fails may end the other one before that has said a word.
    assert {"1: fail rank 1"} <= lines <= {"0: fail rank 0", "1: fail rank 1"}


def test_what_fails_is_tried_again(bench: Bench) -> None:
    job = bench.submit("--retries", "1", "-n", "2", "--", "flaky")

    assert bench.run("wait", job).returncode == 0
    assert bench.call("logs", job, "--task", "0").count("flaky rank 0") == 2


def test_a_cancelled_job_has_time_to_end_and_leaves_nothing(bench: Bench) -> None:
    job = bench.submit("-n", "2", "--", "graceful")
    bench.until_printed(job, "ready", 2)

    assert bench.run("cancel", job).returncode == 0

    assert bench.status(job)["state"] == "cancelled"
    assert bench.call("logs", job).count("saved") == 2
    assert "is over" in bench.run("cancel", job).stderr


def test_an_array_is_a_job_for_each_choice(bench: Bench) -> None:
    job = bench.submit(target="//:array")

    assert bench.run("wait", job).returncode == 0
    assert sorted(bench.call("logs", job).splitlines()) == [
        "0: ok rank 0 --lr=1 --seed=a b", "1: ok rank 0 --lr=2 --seed=a b",
    ]  # fmt: skip


def test_a_time_limit_ends_it(bench: Bench) -> None:
    if bench.on == "lab":
        pytest.skip("Slurm looks at time limits once a minute")
    job = bench.submit("--time", "2s", "--warning", "1s", "-n", "2", "--", "sleep")

    assert bench.run("wait", job).returncode in (124, 143)
    assert bench.status(job)["state"] in ("timeout", "failed")


def test_nothing_is_kept_of_what_cannot_be_submitted(bench: Bench) -> None:
    done = bench.run("submit", "//:probe", "--on", bench.on, "--mount", "/tmp:/there", "--", "ok")

    assert done.returncode == 3
    assert "runs no containers, which mounts need" in done.stderr
    assert bench.call("jobs", "--all", "--json") == "[]\n"


def test_what_would_be_sent_is_printed(bench: Bench) -> None:
    printed = bench.call("submit", "//:job", "--on", bench.on, "-q", "--dry-run", "--", "it's")

    assert "exec" in printed
    assert "it" in printed
    assert bench.call("jobs", "--all", "--json") == "[]\n"


def test_a_job_is_found_by_the_begin_of_its_name(bench: Bench) -> None:
    job = bench.submit("--wait", "--", "ok")

    assert bench.status(job[:-3])["id"] == job
    described = json.loads(bench.call("describe", "--json"))
    assert described["id"] == job
    assert described["package"].rpartition("@")[2].startswith("sha256:")
    assert {"build", "submit"} <= {stage["name"] for stage in described["stages"]}
    assert f"{job}: succeeded" in bench.call("status")
    assert bench.run("status", "nothing-like-it").returncode == 3
