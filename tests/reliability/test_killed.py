"""A few kills in each run of the tests; `python -m tests.reliability` does hundreds."""

from __future__ import annotations

from pathlib import Path

from tests import servers
from tests.reliability.killed import Trial


def test_what_is_killed_is_done_again_and_leaves_nothing(tmp_path: Path) -> None:
    with servers.registry(tmp_path / "registry") as registry:
        trial = Trial(tmp_path / "trial", f"{registry.host}/killed", 2)
        found = trial.kill_often(4)
        assert found.wrong == []
        assert sum(found.tried.values()) == 4

        assert trial.kill_together(1).wrong == []
        assert sum(found.tried.values()) >= 7


def test_what_is_killed_beside_a_folder_leaves_nothing_there(tmp_path: Path) -> None:
    trial = Trial(tmp_path / "trial", f"oci:{tmp_path}/repository", 1)

    assert trial.kill_often(4).wrong == []
    assert trial.kill_together(1).wrong == []
    assert sum(trial.found.killed.values()) > 0
