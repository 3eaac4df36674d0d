"""`[run]` of lamina.toml."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.build import workspace
from lamina.build.faults import FaultReport


def test_what_the_section_says_is_kept_as_it_is(tmp_path: Path) -> None:
    text = "[run]\ncontain = true\nmemory = '1g'\ncpus = 1.5\nenv = ['A=1']\n"
    (tmp_path / "lamina.toml").write_text(text)

    found = workspace.read(tmp_path).run

    assert found == {"contain": True, "memory": "1g", "cpus": 1.5, "env": ["A=1"]}


def test_all_that_is_wrong_is_told_with_its_line(tmp_path: Path) -> None:
    text = "[run]\nmemroy = '1g'\ncontain = 'yes'\ncpus = true\nmount = 'a'\nuser = ''\n"
    (tmp_path / "lamina.toml").write_text(text)

    with pytest.raises(FaultReport) as caught:
        workspace.read(tmp_path)

    message = str(caught.value)
    assert "lamina.toml:2:1: unknown key `memroy` in `[run]`" in message
    assert "lamina.toml:3:1: `contain` in `[run]` takes `true` or `false`" in message
    assert "lamina.toml:4:1: `cpus` in `[run]` takes a number above 0" in message
    assert "lamina.toml:5:1: `mount` in `[run]` takes a list of strings" in message
    assert "lamina.toml:6:1: `user` in `[run]` takes a string" in message
