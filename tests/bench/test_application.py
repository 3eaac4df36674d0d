"""The large application that is measured beside Docker: here a small one, by all ways."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.application import files
from bench.application.files import SCENARIOS, STACKS, Application
from tests.engines import servers

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("scenario", "changed"),
    [
        (files.FIRST, set()),
        (files.PROGRAM, {"app/main.py"}),
        (files.LOW, {"app/part0.py"}),
        (files.REQUIREMENT, {"requirements.txt", files.REQUIREMENTS}),
    ],
)
def test_a_scenario_changes_what_it_says(tmp_path: Path, scenario: str, changed: set[str]) -> None:
    def texts() -> dict[str, str]:
        every = (path for path in application.folder.rglob("*") if path.is_file())
        return {str(path.relative_to(application.folder)): path.read_text() for path in every}

    application = Application(tmp_path / "a", STACKS["small"], tmp_path / "wheels")
    before, answer = texts(), application.answer

    application.edit(scenario, 7)

    after = texts()
    assert {path for path in after if after[path] != before.get(path)} == changed
    assert (application.answer == answer) == (not changed)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="dockerd needs the rights of root")
def test_each_way_makes_ships_and_runs_it(tmp_path: Path) -> None:
    try:
        for tool in ("dockerd", "docker", "docker-registry"):
            servers.find(tool)
    except servers.Absent as absent:
        pytest.skip(str(absent))
    words = ["application", "--stack", "small", "--rounds", "1", "--json", str(tmp_path / "found")]

    done = subprocess.run(
        [sys.executable, "-m", "bench", *words], cwd=ROOT, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    tables = json.loads((tmp_path / "found").read_bytes())["tables"]
    sizes = [table for table in tables if table["figure"] == "size"]
    assert [table["title"] for table in sizes] == [f"small: {each}, to ship" for each in SCENARIOS]
    shipped = [{row["name"]: row["median"] for row in table["rows"]} for table in sizes]
    for way in shipped[0]:
        assert 0 < shipped[1][way] < shipped[0][way]
