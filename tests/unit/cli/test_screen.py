"""The lines that show how far a build is, on terminals of some sizes."""

from __future__ import annotations

import os
import time

import pytest

from lamina.cli import excerpt
from lamina.cli.console import Tally
from lamina.cli.screen import rendered
from lamina.core.action import Action


@pytest.fixture
def tally(monkeypatch: pytest.MonkeyPatch) -> Tally:
    """Seven actions of twelve are done, four run."""
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    running = {
        Action("CxxCompile", "//a:b", (), (), (), subject=f"a/{n}.cc"): float(n)
        for n in (99, 20, 98, 97)
    }
    return Tally(begun=10.0, total=12, done=7, cached=5, running=running)


def test_what_runs_longest_stands_first(tally: Tally) -> None:
    assert rendered(tally, os.terminal_size((80, 24))) == [
        "[7/12] 5 cached, 4 running, 1 min 30 s",
        "1 min 20 s  CxxCompile a/20.cc",
        "     3.0 s  CxxCompile a/97.cc",
        "     2.0 s  CxxCompile a/98.cc",
        "     1.0 s  CxxCompile a/99.cc",
    ]


def test_on_a_low_terminal_some_are_only_counted(tally: Tally) -> None:
    lines = rendered(tally, os.terminal_size((80, 5)))

    assert len(lines) == 4
    assert lines[-1] == "          and 2 more"


@pytest.mark.parametrize("columns", [20, 30, 80])
def test_no_line_is_wider_than_the_terminal(tally: Tally, columns: int) -> None:
    lines = rendered(tally, os.terminal_size((columns, 24)))

    assert max(map(excerpt.columns, lines)) < columns


def test_a_phase_without_actions_tells_how_far_it_is() -> None:
    tally = Tally(begun=time.monotonic(), phase="loading", detail=lambda: "3 build packages")

    [line] = rendered(tally, os.terminal_size((80, 24)))

    assert line == "loading 3 build packages, 0.0 s"


def test_between_phases_nothing_is_shown() -> None:
    assert rendered(Tally(), os.terminal_size((80, 24))) == []
