"""Full disks; `python -m tests.reliability --only full` tries many more sizes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reliability import full

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts")


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[full.Ground]:
    found = full.ground(tmp_path)
    yield found
    found.source.close()


@pytest.mark.parametrize("what", full.COMMANDS)
def test_a_full_disk_leaves_nothing_wrong_and_the_same_succeeds_with_room(
    ground: full.Ground, what: str
) -> None:
    times, wrong = full.fill(ground, what, [4, 20, 60, 110, 140])

    assert wrong == []
    assert times >= 3


@pytest.mark.parametrize("left", [0, 8])
def test_what_is_here_runs_and_garbage_is_collected_where_no_room_is_left(
    ground: full.Ground, left: int
) -> None:
    assert full.collect(ground, left) == ""
