"""A few kills in each run of the tests; `python -m tests.reliability` does hundreds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import servers
from tests.reliability.killed import Trial


@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_killed_is_done_again_and_leaves_nothing(tmp_path: Path, seed: int) -> None:
    with servers.registry(tmp_path / "registry") as registry:
        found = Trial(tmp_path, registry.host, seed).kill_often(6)

    assert found.wrong == []
    assert sum(found.tried.values()) == 6
