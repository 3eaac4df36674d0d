"""What is told of a build while it goes on, off a terminal and on one."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import pytest

from lamina.build.events import Outcome
from lamina.cli import output
from lamina.cli.console import Console, Lines, Silence, Tally, choose
from lamina.core.action import Action
from lamina.core.digest import Digest
from lamina.core.errors import ActionError

Capture = pytest.CaptureFixture[str]


def action(name: str) -> Action:
    return Action("Test", f"//:{name}", ("true",), (), (name,), subject=name)


def outcome(name: str, *, cached: bool = False, printed: bytes = b"") -> Outcome:
    return Outcome(action(name), Digest.of(b""), {}, {}, cached, 0.0, 1.0, printed)


def test_what_raced_is_counted_by_who_was_first() -> None:
    console = Console(Silence())
    for name, farm, raced in (("a", True, True), ("b", False, True), ("c", False, True)):
        console.finished(replace(outcome(name), farm=farm, raced=raced))
    console.finished(replace(outcome("d"), farm=True))

    words = "4 actions run (2 remote), 0 cached; 3 raced, 1 remote and 2 local first"
    assert console.tally.counts() == words


@pytest.fixture
def plain() -> Console:
    """Plain lines, without the thread that tells of silence."""
    return Console(Lines(every=0.0))


def test_plain_lines_tell_what_ran(plain: Console, capsys: Capture) -> None:
    plain.planned(2)
    plain.planned(1)
    for name, cached in (("a", False), ("b", True), ("c", False)):
        plain.finished(outcome(name, cached=cached))

    assert capsys.readouterr().err == "[1/3] Test a\n[3/3] Test c\n"


def test_plain_lines_of_a_long_build_end(plain: Console, capsys: Capture) -> None:
    plain.planned(1000)
    for number in range(1000):
        plain.finished(outcome(f"a{number}"))

    assert len(capsys.readouterr().err.splitlines()) == 40


def test_a_long_build_tells_now_and_then_how_far_it_is(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    lines, tally = Lines(), Tally(begun=100.0, total=1000)
    for number in range(100):
        tally.done += 1
        lines.ran(tally, action(f"a{number}"))
    capsys.readouterr()
    tally.running[action("slow")] = 98.0

    lines.tick(tally)
    now = 106.0
    lines.tick(tally)
    lines.tick(tally)

    assert capsys.readouterr().err == "[100/1000] 0 cached, 6.00 s; Test slow for 8.00 s\n"


def test_a_log_that_is_silent_for_long_gets_a_line(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    lines, tally = Lines(), Tally(begun=100.0, total=1, running={action("slow"): 100.0})

    now = 110.0
    lines.tick(tally)
    now = 131.0
    lines.tick(tally)

    assert capsys.readouterr().err == "[0/1] 0 cached, 31.0 s; Test slow for 31.0 s\n"


def test_a_warning_is_told_once_with_its_target(plain: Console, capsys: Capture) -> None:
    for name in ("a", "b"):
        plain.finished(outcome(name, printed=b"careful\n"))

    told = capsys.readouterr().err
    assert "warning: `//:a`: Test a\ncareful\n" in told
    assert told.count("careful") == 1


def test_no_progress_still_tells_warnings_and_failures(capsys: Capture) -> None:
    console = Console(Silence())
    console.finished(outcome("a", printed=b"careful\n"))
    console.failed(action("b"), ActionError("it failed", hint="look"))

    told = "warning: `//:a`: Test a\ncareful\nerror: it failed\nhint: look\n"
    assert capsys.readouterr().err == told


def test_a_failure_that_is_the_last_word_is_not_listed_again(
    plain: Console, capsys: Capture
) -> None:
    plain.failed(action("a"), ActionError("it failed"))
    capsys.readouterr()

    plain.summary()

    told = capsys.readouterr().err
    assert re.fullmatch(r"build failed: 1 action failed; 0 actions run, 0 cached; .* s\n", told)


def test_failures_are_listed_at_the_end(plain: Console, capsys: Capture) -> None:
    plain.failed(action("a"), ActionError("head\na.cc:1: error: bad\nmore"))
    plain.finished(outcome("b"))
    capsys.readouterr()

    plain.summary()

    assert "\n  //:a  Test a: a.cc:1: error: bad\n" in capsys.readouterr().err


def test_of_very_many_failures_some_are_listed(plain: Console, capsys: Capture) -> None:
    for number in range(25):
        plain.failed(action(f"a{number}"), ActionError("it failed", hint="look"))
    told = capsys.readouterr().err
    plain.summary()

    assert told.count("hint: look") == 1
    assert "  and 5 more; `lamina log failed` tells all\n" in capsys.readouterr().err


def test_a_build_without_failures_has_no_summary(plain: Console, capsys: Capture) -> None:
    plain.summary()

    assert capsys.readouterr().err == ""


def test_closing_ends_the_thread() -> None:
    console = Console(Lines(every=0.01))
    console.planned(1)
    console.phase("loading")

    console.close()
    console.close()

    assert console._ticker is None


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")

    assert isinstance(choose(mode="auto", quiet=False)._display, Lines)


class Lamina(Protocol):
    environment: dict[str, str]

    def write(self, files: dict[str, str]) -> None: ...
    def command(self, *words: str) -> Sequence[str]: ...

    @property
    def root(self) -> os.PathLike[str]: ...


def on_a_terminal(lamina: Lamina, *words: str, **environment: str) -> str:
    """What a command writes to a terminal of 80 columns."""
    terminal, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    variables = {**lamina.environment, "TERM": "xterm", "NO_COLOR": "", **environment}
    child = subprocess.Popen(
        lamina.command(*words), cwd=lamina.root, env=variables, stderr=other, stdout=other
    )
    os.close(other)
    shown = b""
    try:
        while data := os.read(terminal, 4096):
            shown += data
    except OSError:  # the other side is closed
        pass
    os.close(terminal)
    child.wait()
    return shown.decode()


NAME = "a_long_name/" * 12
SLOW = f"""
genrule(name = "bad", outs = ["bad"], cmd = "echo oh no >&2; false")
genrule(name = "slow", outs = ["{NAME}x"], cmd = "sleep 1; touch $@")
"""


def test_on_a_terminal_progress_is_some_lines_that_vanish(lamina: Lamina) -> None:
    lamina.write({"BUILD": SLOW})

    shown = on_a_terminal(lamina, "build", "-k", "-j", "2", "//...")

    assert "\x1b[1m[1/2]\x1b[0m 1 failed, 0 cached, 1 running, " in shown
    assert "Genrule a_long_name/a_" in shown
    drawn = re.findall(r"s\x1b\[0m  (Genrule .*)\r\n", shown)
    assert max(len(line) for line in drawn) == 67  # and 12 before them: one less than 80
    assert "\x1b[2A\r\x1b[J" in shown
    assert shown.count("oh no") == 2
    assert "\x1b[1;31mbuild failed:\x1b[0m 1 action failed; 1 action run" in shown


def test_without_colours_progress_is_the_same(lamina: Lamina) -> None:
    lamina.write({"BUILD": SLOW})

    shown = on_a_terminal(lamina, "build", "-k", "-j", "2", "//...", NO_COLOR="1")

    assert "[1/2] 1 failed, 0 cached, 1 running, " in shown
    assert "\x1b[" in shown
    assert not re.search(r"\x1b\[[0-9;]*m", shown)


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_terminal_that_cannot_be_drawn_on_gets_lines(lamina: Lamina, term: str) -> None:
    lamina.write({"BUILD": "genrule(name = 'a', outs = ['x'], cmd = 'sleep 0.4; touch $@')"})

    shown = on_a_terminal(lamina, "build", "//...", TERM=term)

    assert "\x1b" not in shown
    assert shown.startswith("[1/1] Genrule x\r\n//:a  lamina-out/x\r\nbuild succeeded: 1 target; ")


def test_a_build_that_is_soon_done_shows_no_progress(lamina: Lamina) -> None:
    lamina.write({"BUILD": ""})
    on_a_terminal(lamina, "build", "//...")

    shown = on_a_terminal(lamina, "build", "//...", NO_COLOR="1")

    assert "\x1b" not in shown


def test_what_is_printed_stands_above_the_region(capsys: Capture) -> None:
    from lamina.cli.screen import Screen

    screen = Screen()
    try:
        tally = Tally(phase="loading", detail=lambda: "3 build packages")
        screen._begun = 0.0
        screen.tick(tally)
        output.note("a line")
    finally:
        screen.close()

    head = r"loading 3 build packages, 0\.0 s\n"
    gone = re.escape("\x1b[1A\r\x1b[J")
    assert re.fullmatch(f"{head}{gone}a line\n{head}{gone}", capsys.readouterr().err)
