"""A build that is ended in its middle: no process, no scratch, nothing half-written stays."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest


class Lamina(Protocol):
    root: Path
    store: Path

    def write(self, files: dict[str, str]) -> None: ...
    def actions(self, *words: str) -> int: ...
    def start(self, *words: str) -> subprocess.Popen[str]: ...
    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]: ...


SLOW = """
genrule(name = "slow", outs = ["slow.out"], cmd = "echo half > $@; echo lamina-test | sleep 300")
genrule(name = "hidden", outs = ["h"], cmd = "trap '' TERM INT HUP; setsid sleep 300 & wait")
genrule(name = "quick", outs = ["quick.out"], cmd = "echo whole > $@")
"""


def of_build(lamina: Lamina) -> list[str]:
    """The processes that run within an action of this test: what they mount lies in its store."""
    place = "/".join(lamina.store.parts[-3:])  # from where its file system is mounted
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_text()
            mounts = (folder / "mountinfo").read_text()
        except OSError:
            continue
        if place in words + mounts and "lamina.cli" not in words:
            found.append(words.replace("\0", " "))
    return found


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def building(lamina: Lamina) -> subprocess.Popen[str]:
    """A build in the middle of two actions that never end."""
    lamina.write({"BUILD": SLOW})
    child = lamina.start("build", "-j", "3", "//...")

    def both_run() -> bool:
        assert child.poll() is None
        return sum(words.startswith("sleep 300") for words in of_build(lamina)) == 2

    wait_for(both_run)
    return child


def scratch(lamina: Lamina) -> list[Path]:
    return list(lamina.store.glob("tmp/*"))


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_all(
    lamina: Lamina, building: subprocess.Popen[str], number: int, code: int
) -> None:
    building.send_signal(number)
    printed, words = building.communicate()

    assert building.returncode == code
    assert "Traceback" not in words
    assert printed == ""
    assert of_build(lamina) == []
    assert scratch(lamina) == []
    assert list(lamina.root.glob("lamina-out/**/*")) == []


def test_many_signals_are_as_one(lamina: Lamina, building: subprocess.Popen[str]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
        building.send_signal(number)
    _, words = building.communicate()

    assert building.returncode in (130, 143)
    assert "Traceback" not in words
    assert of_build(lamina) == []


def test_a_kill_leaves_no_process_and_the_next_build_clears_up(
    lamina: Lamina, building: subprocess.Popen[str]
) -> None:
    building.kill()
    building.communicate()

    wait_for(lambda: of_build(lamina) == [])
    assert list(lamina.root.glob("lamina-out/**/*")) == []
    assert lamina("build", "//:quick").returncode == 0
    assert scratch(lamina) == []
    assert (lamina.root / "lamina-out/quick.out").read_text() == "whole\n"


def test_a_build_goes_on_where_it_was_interrupted(
    lamina: Lamina, building: subprocess.Popen[str]
) -> None:
    known = lamina.store / "actions"
    wait_for(lambda: [path for path in known.rglob("*") if path.is_file()])
    building.send_signal(signal.SIGINT)
    building.communicate()

    assert lamina.actions("//:quick") == 0


def test_a_failing_action_ends_the_others(lamina: Lamina) -> None:
    lamina.write({"BUILD": SLOW + "genrule(name = 'bad', outs = ['b'], cmd = 'exit 9')\n"})

    done = lamina("build", "-j", "4", "//...")

    assert done.returncode == 1
    assert "error: `//:bad`: Genrule b failed with exit code 9" in done.stderr
    assert of_build(lamina) == []
    assert scratch(lamina) == []


def test_a_signal_that_is_ignored_stays_ignored(lamina: Lamina) -> None:
    lamina.write({"BUILD": SLOW})
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        child = lamina.start("build", "//:slow")
    finally:
        signal.signal(signal.SIGHUP, before)
    wait_for(lambda: any(words.startswith("sleep 300") for words in of_build(lamina)))

    child.send_signal(signal.SIGHUP)
    time.sleep(0.2)

    assert child.poll() is None
    child.terminate()
    child.communicate()
    assert child.returncode == 143


def test_two_builds_at_once_do_not_disturb_each_other(lamina: Lamina) -> None:
    lamina.write({"BUILD": SLOW})

    children = [lamina.start("build", "//:quick") for _ in range(3)]

    assert [child.communicate() and child.returncode for child in children] == [0, 0, 0]
    assert (lamina.root / "lamina-out/quick.out").read_text() == "whole\n"
    assert scratch(lamina) == []


def test_a_reader_that_goes_away_is_no_failure_of_lamina(lamina: Lamina) -> None:
    lamina.write({"BUILD": "".join(f"filegroup(name = 'f{n}')\n" for n in range(9000))})
    child = lamina.start("targets", "//...")
    assert child.stdout
    assert child.stdout.readline() == "//:f0\n"
    child.stdout.close()
    assert child.stderr
    words = child.stderr.read()
    child.stderr.close()

    assert child.wait() == 128 + signal.SIGPIPE
    assert words == ""
