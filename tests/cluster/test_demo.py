"""`make demo-cluster` shows what it says, and leaves nothing however it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import slurm
from tests.engines import servers

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "tests.cluster.demo")

pytestmark = pytest.mark.root


@pytest.fixture(autouse=True)
def possible() -> Iterator[None]:
    """There can be a cluster here; nothing of one is left after the test."""
    if why := slurm.lacks():
        pytest.skip(why)
    try:
        servers.find("docker-registry")
    except servers.Absent as absent:
        pytest.skip(str(absent))
    yield


def _left(folder: Path) -> list[str]:
    """What there is of a demo with its files below a folder."""
    found = [str(path) for path in folder.iterdir()]
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = command.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in words:
            found.append(words)
    return found


def _environment(folder: Path) -> dict[str, str]:
    folder.mkdir()
    folder.chmod(0o755)
    return {**os.environ, "TMPDIR": str(folder), "COLUMNS": "100"}


def test_it_shows_two_jobs_and_their_timelines(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("d") / "t"

    done = subprocess.run(
        COMMAND, cwd=ROOT, env=_environment(folder), capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r"^\d: task \d of 4 on en\d, sums by", done.stdout, re.M)) == 4
    assert len(re.findall(r"^\d: task \d of 4 on en\d, edited", done.stdout, re.M)) == 4
    assert re.findall(r"^(en\d)  ", done.stdout, re.M) == ["en1", "en2", "en3", "en4"] * 2
    for step in ("build", "push", "submit", "queue", "pull", "mount", "enter", "run"):
        assert len(re.findall(rf"^{step}  +\d", done.stdout, re.M)) == 2
    assert "pushed 2 blobs" in done.stdout  # after the edit: a layer and the list of layers
    assert _left(folder) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_one_that_is_ended_leaves_nothing(
    tmp_path_factory: pytest.TempPathFactory, number: signal.Signals
) -> None:
    folder = tmp_path_factory.mktemp("d") / "t"
    started = subprocess.Popen(
        COMMAND, cwd=ROOT, env=_environment(folder), stdout=subprocess.PIPE, text=True
    )
    assert started.stdout is not None
    for line in started.stdout:
        if line.startswith("main*"):  # the nodes are there
            break
    children = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()

    os.kill(int(children[0]) if number is signal.SIGKILL else started.pid, number)

    started.stdout.read()
    assert started.wait(60) != 0
    until = time.monotonic() + 10
    while (left := _left(folder)) and time.monotonic() < until:
        time.sleep(0.1)
    assert left == []
    names = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
    assert f"l{children[0]}n" not in names
    assert not list(Path("/sys/fs/cgroup").glob(f"*/l{children[0]}n"))


def test_who_is_not_root_is_told() -> None:
    readable = subprocess.run(["test", "-r", ROOT / "tests/cluster/demo.py"], user=65534)
    if readable.returncode:
        pytest.skip("this folder is closed to other users")

    done = subprocess.run(
        [servers.PYTHON, "-B", *COMMAND[1:]], cwd=ROOT, capture_output=True, text=True, user=65534
    )

    assert done.returncode == 1
    assert done.stderr == (
        "no cluster can be made here: only root can make the namespaces of nodes\n"
    )
