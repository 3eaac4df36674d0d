"""From an edit to nodes of a cluster: small, by all ways, on a real Slurm."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.application import files
from bench.application.files import STACKS, Application
from bench.cluster import ways
from bench.cluster.ways import Taken
from tests.cluster import slurm
from tests.engines import servers

ROOT = Path(__file__).parents[2]


def test_the_library_lies_below_what_is_installed(tmp_path: Path) -> None:
    application = Application(tmp_path / "a", STACKS["small"], tmp_path / "wheels", library=True)
    before = application.answer

    application.edit(files.BELOW, 7)

    lines = (application.folder / "Dockerfile").read_text().splitlines()
    assert (application.folder / "core/base.py").read_text() == "NUMBER = 7\n"
    assert (before.split()[:3], application.answer.split()[:3]) == (
        ["0", "0", "0"],
        ["0", "0", "7"],
    )
    assert lines.index("COPY core /srv/core") < lines.index(
        "COPY requirements.txt /srv/requirements.txt"
    )


def test_data_is_copied_with_the_modules_or_once_before_them(tmp_path: Path) -> None:
    stack = replace(STACKS["small"], data=1000)
    whole = Application(tmp_path / "a", stack, tmp_path / "wheels")
    parted = Application(tmp_path / "b", stack, tmp_path / "wheels", data_first=True)

    copies = [
        [line for line in (each.folder / "Dockerfile").read_text().splitlines() if "app" in line]
        for each in (whole, parted)
    ]

    assert copies[0][0] == "COPY app /srv/app"
    assert copies[1][:2] == ["COPY app/data /srv/app/data", "COPY app/*.py /srv/app/"]
    assert (whole.folder / "app/data/part0.bin").stat().st_size == 1000
    assert 'resources = ["data/part0.bin"]' in (whole.folder / "app/BUILD").read_text()


def test_the_queue_and_imports_are_told_apart() -> None:
    taken = Taken({"build": 1.0, "queue": 10.0, "pull": 2.0, "imports": 100.0}, 1, 2)

    assert (taken.total, taken.own) == (13.0, 3.0)


@pytest.mark.root
def test_each_way_brings_an_edit_to_every_node(tmp_path: Path) -> None:
    if why := slurm.lacks():
        pytest.skip(why)
    try:
        for tool in ("dockerd", "docker", "docker-registry", "zstd"):
            servers.find(tool)
    except servers.Absent as absent:
        pytest.skip(str(absent))

    done = subprocess.run(
        [
            sys.executable, "-m", "bench", "cluster", "--smoke", "--data", "4",
            "--json", str(tmp_path / "found"),
        ],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found").read_bytes())
    first, edit = found["edits"][files.FIRST], found["edits"][files.PROGRAM]
    assert list(first) == list(edit) == [ways.LAMINA, ways.DOCKER, ways.BY_HAND, ways.TAR]
    # Who has the package gets little of it again; and data with the modules where one copy has all.
    assert 0 < edit[ways.LAMINA][0]["received"] < first[ways.LAMINA][0]["received"]
    assert 0 < edit[ways.BY_HAND][0]["received"] < 1 << 20
    assert 2 << 20 < edit[ways.DOCKER][0]["received"] < first[ways.DOCKER][0]["received"]
    mine = edit[ways.LAMINA][0]
    assert set(mine["seconds"]) == set(ways.STEPS)
    assert mine["received"] < 64 << 10
    assert list(found["starts"]) == ["1"]
