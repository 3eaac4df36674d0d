"""Which clusters are known in a folder, and what is told of those that are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.cluster import profiles
from lamina.core.cluster import Cluster
from lamina.core.errors import UserError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "config/lamina").mkdir(parents=True)
    (tmp_path / "w/inner").mkdir(parents=True)
    return tmp_path


def workspace(home: Path, text: str) -> None:
    (home / "w/lamina.toml").write_text(text)


def own(home: Path, text: str) -> None:
    (home / "config/lamina/clusters.toml").write_text(text)


def test_some_are_there_without_any_settings(home: Path) -> None:
    assert profiles.find("local", home) == Cluster("local", "local")
    assert profiles.find("slurm", home) == Cluster("slurm", "slurm")


def test_a_workspace_has_its_own_below_its_root_too(home: Path) -> None:
    workspace(home, '[cluster.prod]\nlauncher = "slurm"\npartition = "gpu"\n')

    assert profiles.find("prod", home / "w/inner") == Cluster("prod", "slurm", partition="gpu")
    with pytest.raises(UserError, match="there is no cluster `prod`"):
        profiles.find("prod", home)


def test_those_of_a_person_are_everywhere_and_a_workspace_comes_first(home: Path) -> None:
    own(home, '[prod]\nlauncher = "local"\n[mine]\nlauncher = "local"\n')
    workspace(home, '[cluster.prod]\nlauncher = "slurm"\n')

    assert profiles.find("prod", home).launcher == "local"
    assert profiles.find("prod", home / "w").launcher == "slurm"
    assert profiles.find("mine", home / "w").launcher == "local"


def test_what_is_always_there_may_be_described(home: Path) -> None:
    own(home, '[local]\nlauncher = "local"\ncontainer = "never"\n')

    assert profiles.find("local", home).container == "never"


def test_a_name_that_is_close_is_named(home: Path) -> None:
    with pytest.raises(UserError) as caught:
        profiles.find("slrum", home)

    assert caught.value.hint == "did you mean `slurm`?"


def test_a_name_that_nothing_is_like_can_be_given_to_a_cluster(home: Path) -> None:
    with pytest.raises(UserError) as caught:
        profiles.find("prod", home)

    made = "`[cluster.prod]` in `lamina.toml` makes one"
    assert caught.value.hint == f"known: kubernetes, local, slurm; {made}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[cluster.prod]\nlauncher = "slurm"\nparts = 1\n', "lamina.toml:3: unknown key `parts`"),
        ("[cluster.prod]\n", "lamina.toml:1: `[cluster.prod]` has no `launcher`"),
    ],
)
def test_a_fault_is_told_with_its_place(home: Path, text: str, message: str) -> None:
    workspace(home, text)

    with pytest.raises(UserError) as caught:
        profiles.find("local", home / "w")
    assert message in caught.value.message
