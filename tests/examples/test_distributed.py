"""The distributed training: tasks of a job find each other, and one edit is a new job soon."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from shutil import which
from xml.etree import ElementTree

import pytest

Submit = Callable[..., subprocess.CompletedProcess[str]]
_TASKS = 3


@pytest.fixture
def project(copy_of: Callable[..., Path]) -> Path:
    return copy_of("distributed")


@pytest.fixture
def call(
    lamina: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
    project: Path,
    request: pytest.FixtureRequest,
) -> Submit:
    """The command line in the example, with a home of its own; jobs run outside of containers."""
    container = getattr(request, "param", "never")
    if container == "always" and (os.geteuid() != 0 or not (which("crun") or which("runc"))):
        pytest.skip("root, and crun or runc, are needed for containers with bounds")
    if os.geteuid() != 0 and not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("/dev/fuse is closed to this user")
    settings = tmp_path / "config/lamina/clusters.toml"
    settings.parent.mkdir(parents=True)
    program = tmp_path / "lamina"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m lamina.cli "$@"\n')
    program.chmod(0o755)
    settings.write_text(
        f'[local]\nlauncher = "local"\ncontainer = "{container}"\nlamina = "{program}"\n'
    )
    homes = {
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "COLUMNS": "100",
    }
    return lambda *words: lamina(project, *words, environment=homes)


@pytest.mark.parametrize("call", ["never", "always"], indirect=True)
def test_its_tasks_find_each_other_and_learn_the_same(call: Submit) -> None:
    done = call("submit", "-q", "//:job", "--on", "local", "--follow")

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for task in range(_TASKS):
        assert [line for line in lines if re.match(rf"{task}: task {task} of {_TASKS} on ", line)]
    losses = [float(loss) for loss in re.findall(r"^0: step .* loss (\S+)$", done.stdout, re.M)]
    assert len(losses) == 7
    assert losses[-1] < 0.1 * losses[0]
    ends = re.findall(r"ends with (.*)", done.stdout)
    assert len(ends) == _TASKS
    assert len(set(ends)) == 1


def test_an_edit_is_in_the_next_job_and_both_have_a_timeline(
    call: Submit, project: Path, tmp_path: Path
) -> None:
    first = call("submit", "-q", "//:job", "--wait", "--", "--steps", "1")
    train = project / "train.py"
    train.write_text(train.read_text().replace("sums by", "edited, sums by"))
    second = call("submit", "-q", "//:job", "--wait", "--", "--steps", "1")

    logs = call("logs", second.stdout.strip()).stdout
    timeline = call("timeline", "--tasks", first.stdout.strip()).stdout
    drawn = call("timeline", "--svg", str(tmp_path / "job.svg"))

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert logs.count("edited") == _TASKS
    rows = [line.split("  ")[0] for line in timeline.splitlines()]
    node = os.uname().nodename
    assert [f"{node} task {task}" for task in range(_TASKS)] == [r for r in rows if "task " in r]
    for step in ("build", "submit", "queue", "pull", "mount", "enter", "run"):
        assert step in rows
    assert drawn.returncode == 0, drawn.stderr
    assert ElementTree.parse(tmp_path / "job.svg").getroot().tag.endswith("svg")


def test_it_learns_by_pytorch_when_asked(call: Submit, project: Path) -> None:
    """`LAMINA_TEST_TORCH=torch==2.13.0+cpu` asks: hundreds of megabytes are fetched."""
    wanted = os.environ.get("LAMINA_TEST_TORCH")
    if not wanted:
        pytest.skip("LAMINA_TEST_TORCH names no version of PyTorch")
    requirements = "third_party/torch/requirements.in"
    (project / requirements).write_text(f"{wanted}\nnumpy\n")
    locked = call("lock", requirements)
    assert locked.returncode == 0, locked.stderr

    done = call("submit", "-q", "--config", "torch", "//:job", "--follow")

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("sums by torch") == _TASKS
