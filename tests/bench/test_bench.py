"""The bench runs, with the smallest counts, and its numbers have the right shape."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
STACKED = ("mount, layers: 2", "mounted and stacked")

Document = dict[str, Any]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Document]:
    """What it prints, and what it writes."""
    folder = tmp_path_factory.mktemp("bench")
    file = folder / "numbers.json"
    words = ["--smoke", "--markdown", "--json", str(file), "--folder", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "bench", *words], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(file.read_bytes())


@pytest.fixture
def tables(run: tuple[str, Document]) -> list[Document]:
    return list(run[1]["tables"])


def test_the_head_describes_the_machine(run: tuple[str, Document]) -> None:
    printed, document = run

    assert document["machine"]["kernel"].startswith("Linux")
    assert document["machine"]["kernel"] in printed.partition("##")[0]


def test_every_suite_has_its_tables(run: tuple[str, Document], tables: list[Document]) -> None:
    assert {table["title"].split()[0] for table in tables} >= {
        "start", "mount,", "layer", "forms",
    }  # fmt: skip
    for table in tables:
        assert f"## {table['title']}: {table['figure']}\n" in run[0]


def test_every_case_is_measured_in_every_round(tables: list[Document]) -> None:
    for row in (row for table in tables for row in table["rows"]):
        assert row["values"] == [row["median"]]
        assert row["median"] > 0


def test_compressions_are_put_in_one_table_for_the_documentation(
    run: tuple[str, Document], tables: list[Document]
) -> None:
    lines = [line.split(" | ") for line in run[0].splitlines() if line.startswith("| ")]
    sizes = next(t for t in tables if (t["title"], t["figure"]) == ("layer by compression", "size"))

    head, _, *rows = lines

    assert head[1:3] == ["size, KiB", "of squashfs zstd"]
    told = {cells[0].removeprefix("| "): cells[1] for cells in rows}
    assert told == {
        "plain folder": "-",
        **{row["name"]: f"{row['median'] / 1024:,.0f}" for row in sizes["rows"]},
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="only root measures both drivers")
def test_both_drivers_are_compared_with_the_mount_program(tables: list[Document]) -> None:
    (table,) = (table for table in tables if (table["title"], table["figure"]) == STACKED)

    ratios = {row["name"]: row["ratios"] for row in table["rows"]}

    program = "mount -o loop, mount -t overlay"
    assert ratios.keys() == {program, "driver kernel", "driver fuse"}
    assert ratios["driver kernel"].keys() == ratios["driver fuse"].keys() == {program}


def test_what_is_installed_is_imported_by_all_ways(tmp_path: Path) -> None:
    words = ["installed", "--stack", "small", "--rounds", "1", "--json", str(tmp_path / "found")]

    done = subprocess.run(
        [sys.executable, "-m", "bench", *words], cwd=ROOT, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    hot = json.loads((tmp_path / "found").read_bytes())["tables"][0]
    names = [row["name"] for row in hot["rows"]]
    assert names[:3] == ["plain folder", "lamina exec", "lamina exec, unpacked"]
