"""Some starts in each run of the tests; `python -m tests.reliability --only starts` does 1,000."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.reliability.starts import Starts


def test_starts_that_are_killed_leave_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    if os.geteuid() and not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("/dev/fuse is closed to this user")
    folder: Path = tmp_path_factory.mktemp(f"starts{os.getpid()}-")
    starts = Starts(folder, 1)

    assert starts.start_often(20) == []
    assert sum(starts.tried.values()) == 20
    assert sum(starts.killed.values()) > 5
