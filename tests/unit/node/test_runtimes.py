"""What is told where no runtime of containers works."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lamina.core.errors import HostError
from lamina.linux import rights
from lamina.node import runtimes, state
from lamina.node.runtimes import NAMES, Runtime


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of runtimes that do nothing; their record is the test's own."""
    for name in NAMES:
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setattr(runtimes, "_where", lambda name: tmp_path / name)
    monkeypatch.setattr(state, "folder", lambda: str(tmp_path))
    return tmp_path


def test_one_complaint_of_all_is_told_once(installed: Path) -> None:
    with pytest.raises(HostError) as caught:
        runtimes.choose(None, lambda _: "may not")

    assert caught.value.message == "no runtime of containers works here: may not"


def test_several_complaints_are_told_with_whose_they_are(installed: Path) -> None:
    with pytest.raises(HostError) as caught:
        runtimes.choose(None, lambda runtime: f"no {runtime.name}")

    assert caught.value.message.endswith("here: crun: no crun; runc: no runc; bwrap: no bwrap")


def test_where_none_is_installed_that_is_told(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtimes, "_where", lambda _: None)

    with pytest.raises(HostError) as caught:
        runtimes.choose(None, lambda _: "")

    assert caught.value.message.endswith("none of crun, runc, bwrap is installed")
    assert "apt-get install crun" in str(caught.value.hint)


def test_who_has_other_rights_tries_anew(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of a user may be shared with containers, in which other things are allowed."""
    tried: list[str] = []

    def attempt(runtime: Runtime) -> str:
        tried.append(runtime.name)
        return ""

    for context in ("outside", "inside", "outside", "inside"):
        monkeypatch.setattr(rights, "context", lambda name=context: name)
        assert runtimes.choose(None, attempt).name == "crun"

    assert tried == ["crun", "crun"]


def test_no_more_than_the_latest_answers_are_kept(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(40):
        monkeypatch.setattr(rights, "context", lambda name=number: str(name))
        runtimes.choose(None, lambda _: "")

    assert len(json.loads((installed / "runtimes.json").read_bytes())) == 30
