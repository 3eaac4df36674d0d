"""What `bench remote` makes of what it counts."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bench.remote.command import Step, _older, main, text
from lamina.formats import remote_pb2 as pb


def test_steps_of_one_kind_stand_below_each_other() -> None:
    steps = [
        Step("lamina", "cold", 1.5, 9, 20, 1_500_000, 0, {"GetActionResult": 9, "Write": 1}),
        Step("lamina", "warm", 0.5, 0, 9, 0, 10_000, {"GetActionResult": 9}),
        Step("Bazel", "cold", 2.0, 9, 40, 2_000_000, 0, {"Write": 30}),
    ]

    table, _, kinds = text(steps).partition("\n\n")

    lines = [line.split() for line in table.splitlines()[1:]]
    assert [line[:2] for line in lines] == [
        ["cold", "lamina"],
        ["cold", "Bazel"],
        ["warm", "lamina"],
    ]
    assert lines[0][2:] == ["1.50", "s", "9", "20", "1.50", "MB", "0.00", "MB"]
    assert kinds.splitlines()[0] == "lamina, cold: 9 GetActionResult, 1 Write"


def test_the_farm_is_made_to_name_an_older_version_of_the_api() -> None:
    told = pb.ServerCapabilities(low_api_version=pb.SemVer(major=2, minor=1))
    found = pb.ServerCapabilities.FromString(_older("GetCapabilities", told.SerializeToString()))

    assert (found.low_api_version.major, found.low_api_version.minor) == (2, 0)
    assert _older("Read", b"as it is") == b"as it is"


@pytest.mark.root
def test_lamina_asks_once_for_each_action_of_another_checkout(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("buildbox-casd runs actions with the rights of root")
    found = tmp_path / "steps.json"
    words = ["--smoke", "--tools", "lamina", "--folder", str(tmp_path), "--json", str(found)]
    if main(words):
        pytest.skip("the farm of the bench is not to be had")

    cold, warm, *_, again = json.loads(found.read_text())

    assert cold["ran"] == cold["methods"]["GetActionResult"] == warm["methods"]["GetActionResult"]
    assert (warm["ran"], again["requests"]) == (0, 0)
    assert warm["requests"] < 1.3 * cold["ran"]
