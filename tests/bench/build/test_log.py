"""The file of measurements outlives its run."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.build import results
from bench.build.log import Entry, Log, read


def entry(tool: str, value: float, *, run: int = 1, round_: int = 0) -> Entry:
    return Entry("mixed-200", "null", tool, run, round_, value, 0)


def test_what_is_added_can_be_read_again(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.describe({"memory": "1 kB"})

    log.add(entry("lamina", 0.5))
    log.add(entry("Bazel", 1.0))

    assert read([tmp_path / "log"]) == log.entries


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.add(entry("lamina", 0.5))
    with (tmp_path / "log").open("a") as file:
        file.write('{"repository": "mi')

    assert read([tmp_path / "log"]) == log.entries


@pytest.mark.parametrize("markdown", [False, True])
def test_ratios_are_within_a_round_of_a_run(markdown: bool) -> None:
    entries = [
        entry("lamina", 1.0, run=1), entry("Bazel", 2.0, run=1),
        entry("lamina", 3.0, run=2), entry("Bazel", 4.0, run=2),
        entry("lamina", 9.0, run=2, round_=1),
    ]  # fmt: skip

    table = results.text(entries, markdown=markdown)

    cells = table.splitlines()[-1].replace("|", " ").split()
    assert cells[:2] == ["null", "build"]
    assert {"3.000", "0.62"} <= set(cells)  # the median of 0.5 and 0.75; no peer of the last


def test_one_tool_alone_has_no_ratio() -> None:
    assert results.text([entry("lamina", 1.0)]).splitlines()[-1].count("-") > 2
