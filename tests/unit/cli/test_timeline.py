"""`lamina timeline` of jobs of which little is known."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from lamina.cli import main
from lamina.cluster import local, records
from lamina.cluster.launcher import State, Status, Task
from lamina.cluster.records import Record
from lamina.core.job import Job, Spec


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "60")


def submitted(seconds: dict[str, float]) -> Record:
    job = Job("train-1", "//:train", "p", Spec())
    folder = records.make_folder("train-1", "")
    record = Record(job, "local", "1", folder, time.time(), {"launcher": "local"}, seconds)
    records.write(record)
    return record


def test_no_job_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["timeline"]) == 3
    assert "no job was submitted from here" in capsys.readouterr().err


def test_a_job_without_any_times_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    submitted({})

    assert main.main(["timeline", "train-1"]) == 3
    assert "nothing is known of the times of `train-1`" in capsys.readouterr().err


def test_a_job_that_waits_has_the_steps_before(capsys: pytest.CaptureFixture[str]) -> None:
    record = submitted({"build": 2.0, "submit": 1.0})
    local.write_state(record.folder, Status(State.SUCCEEDED, tasks=(Task(0, State.PENDING),)))

    assert main.main(["timeline", "train"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "train-1 on local: succeeded"
    assert lines[2].startswith("here  build---")
    assert [line.split()[0] for line in lines[5:]] == ["build", "submit"]


def test_a_picture_goes_into_a_file_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    submitted({"build": 2.0})

    assert main.main(["timeline", "--svg", str(tmp_path / "a.svg")]) == 0

    assert capsys.readouterr().out == ""
    assert (tmp_path / "a.svg").read_text().startswith("<svg")


def test_a_picture_that_cannot_be_written_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    submitted({"build": 2.0})

    assert main.main(["timeline", "--svg", str(tmp_path / "none/a.svg")]) == 3
    assert f"cannot write `{tmp_path}/none/a.svg`" in capsys.readouterr().err
