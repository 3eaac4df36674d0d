"""What `exec` tells of its steps: whole or not at all, in order, and hidden from the program."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from lamina.node import report


def test_the_start_of_a_process_is_told_by_the_kernel() -> None:
    before = time.time()
    code = (
        "import time; time.sleep(0.3); from lamina.node import report; "
        "print(report.begin(), report._imported)"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()

    begin, imported = map(float, done)
    assert before - 0.02 <= begin <= imported - 0.29  # the kernel counts in hundredths


def test_steps_are_in_order_and_written_once_the_program_starts(tmp_path: Path) -> None:
    warned: list[str] = []
    told = report.Report(str(tmp_path / "times.json"), warned.append)
    told.told("pulled")
    told.mounted()
    before = list(tmp_path.iterdir())

    told.ready()

    found = json.loads((tmp_path / "times.json").read_bytes())
    assert before == []
    assert list(found) == ["begin", "pulled", "mounted", "started"]
    assert list(found.values()) == sorted(found.values())
    assert list(tmp_path.iterdir()) == [tmp_path / "times.json"]
    assert warned == []


def test_the_end_by_want_of_memory_is_added(tmp_path: Path) -> None:
    told = report.Report(str(tmp_path / "times.json"), lambda _: None)
    told.ready()

    told.out_of_memory()

    assert list(json.loads((tmp_path / "times.json").read_bytes())) == [
        "begin",
        "started",
        "out of memory",
    ]


def test_a_report_outlives_the_way_to_its_file(tmp_path: Path) -> None:
    """As the root of the process becomes another one."""
    folder = tmp_path / "here"
    folder.mkdir()
    told = report.Report(str(folder / "times.json"), lambda _: None)
    folder.rename(tmp_path / "there")

    told.ready()

    assert (tmp_path / "there/times.json").exists()


def test_a_report_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    warned: list[str] = []
    gone = report.Report(str(tmp_path / "none/times.json"), warned.append)
    (tmp_path / "taken.json").mkdir()
    taken = report.Report(str(tmp_path / "taken.json"), warned.append)

    gone.ready()
    taken.ready()

    assert warned == [
        f"cannot tell times in `{tmp_path}/none/times.json`: No such file or directory",
        f"cannot tell times in `{tmp_path}/taken.json`: Is a directory",
    ]
    assert list(tmp_path.iterdir()) == [tmp_path / "taken.json"]


def test_the_program_does_not_see_that_a_report_is_wanted(tmp_path: Path) -> None:
    environment = {report.VARIABLE: str(tmp_path / "times.json"), "A": "1"}

    assert report.wanted(environment, lambda _: None) is not None
    assert environment == {"A": "1"}
    assert report.wanted(environment, lambda _: None) is None
