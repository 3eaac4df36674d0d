"""`python -m bench build` measures, checks and tells; here with lamina alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bench.build.log import read

ROOT = Path(__file__).parents[3]


def bench(*args: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
    argv = [sys.executable, "-m", "bench", *args]
    return subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, check=False)


def test_each_scenario_is_measured_checked_and_kept(tmp_path: Path) -> None:
    log = tmp_path / "log"
    scenarios = ["null", "leaf-py", "add-dep", "query-rdeps", "load", "memory"]

    done = bench(
        "build", "--size", "100", "--kind", "python", "--tools", "lamina", "--rounds", "1",
        "--scenarios", ",".join(scenarios), "--log", str(log), "--folder", str(tmp_path),
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    entries = read([log])
    assert {entry.scenario.split()[0] for entry in entries} == set(scenarios)
    assert [entry.ran for entry in entries if entry.scenario in ("null", "leaf-py")] == [0, 1]
    assert "## python-100: seconds\n" in done.stdout
    assert list(tmp_path.iterdir()) == [log]


def test_the_report_of_a_log_has_its_medians(tmp_path: Path) -> None:
    entry = '{"repository": "mixed-9", "scenario": "null", "tool": "lamina", "run": 1, "round": 0'
    (tmp_path / "log").write_text(f'{entry}, "value": 0.125}}\n')

    done = bench("build-report", "--markdown", str(tmp_path / "log"))

    assert "| null build | 0.125 |" in done.stdout


def test_a_scenario_that_is_none_is_refused(tmp_path: Path) -> None:
    done = bench("build", "--scenarios", "nul", cwd=tmp_path)

    assert done.returncode == 2
    assert "`nul` is none of clean, null" in done.stderr


def test_a_repository_is_written_for_a_person(tmp_path: Path) -> None:
    folder = tmp_path / "repository"

    done = bench("build-repo", str(folder), "--targets", "30", "--dialect", "buck")

    assert done.stdout == f"30 targets in 3 build packages in {folder}\n"
    assert len(list(folder.rglob("BUCK"))) == 3
