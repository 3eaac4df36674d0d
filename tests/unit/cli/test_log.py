"""`lamina log`: what the last builds did."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Protocol

import pytest

Done = subprocess.CompletedProcess[str]


class Lamina(Protocol):
    root: Path
    store: Path

    def write(self, files: dict[str, str]) -> None: ...
    def actions(self, *words: str) -> int: ...
    def start(self, *words: str) -> subprocess.Popen[str]: ...
    def __call__(self, *words: str, at: str = "") -> Done: ...


RULES = """
genrule(name = 'a', outs = ['a.out'], cmd = 'sleep 0.2; touch $@')
genrule(name = 'b', srcs = [':a'], outs = ['b.out'], cmd = 'sleep 0.1; touch $@')
genrule(name = 'c', outs = ['c.out'], cmd = 'touch $@')
"""
FAILING = "genrule(name = 'bad', outs = ['x'], cmd = 'echo oh no; exit 3')\n"


@pytest.fixture
def built(lamina: Lamina) -> Lamina:
    lamina.write({"BUILD": RULES})
    lamina.actions()
    return lamina


def test_each_build_has_a_line(built: Lamina) -> None:
    built.actions()
    built.write({"BUILD": RULES + FAILING})
    built("build", "//...")
    built.write({"BUILD": "genrul()"})
    built("build", "//:a")
    built("targets", "//...")

    lines = [line.split() for line in built("log").stdout.splitlines()]

    assert [line[0] for line in lines] == ["build", "1", "2", "3", "4"]
    assert [line[4:] for line in lines[1:]] == [
        ["3", "0", "0", "succeeded", "build", "//..."],
        ["0", "0", "0", "succeeded", "build", "//..."],
        ["0", "3", "1", "failed", "build", "//..."],
        ["0", "0", "0", "failed", "build", "//:a"],
    ]


def test_the_list_may_be_short(built: Lamina) -> None:
    for _ in range(3):
        built.actions()

    assert [each["number"] for each in json.loads(built("log", "-n", "2", "--json").stdout)] == [
        3,
        4,
    ]


def test_a_build_shows_where_its_time_went(built: Lamina) -> None:
    built.actions()  # it does nothing, so the one before is shown

    told = built("log", "show").stdout

    assert "build 1: `lamina build //...`\nsucceeded " in told
    assert "3 actions run, 0 cached (0% cache hits), 0 failed\n" in told
    for phase in ("loading", "analysing", "executing", "publishing"):
        assert f" s  {phase}\n" in told
    slowest, critical = told.partition("slowest actions\n")[2].split("\n\ncritical path, ")
    assert "Genrule a.out  //:a" in slowest.splitlines()[0]
    assert [line.split()[-1] for line in critical.splitlines()[1:]] == ["//:a", "//:b"]


def test_a_build_is_shown_as_json_too(built: Lamina) -> None:
    told = json.loads(built("log", "show", "1", "--json").stdout)

    assert (told["number"], told["ran"], told["result"]) == (1, 3, "succeeded")
    assert [step["owner"] for step in told["critical_path"]] == ["//:a", "//:b"]
    assert told["slowest"][0]["seconds"] >= 0.2


def test_what_ran_is_listed(built: Lamina) -> None:
    lines = built("log", "ran").stdout.splitlines()

    assert sorted(line.split()[-1] for line in lines) == ["//:a", "//:b", "//:c"]


def test_what_failed_is_told_in_full(built: Lamina) -> None:
    failing = FAILING.replace("echo oh no", "for i in $$(seq 300); do echo line $$i; done")
    built.write({"BUILD": RULES + failing})
    printed = built("build", "//...").stderr

    told = built("log", "failed").stdout

    assert "lines are left out; `lamina log failed` has them" in printed
    assert told.startswith("`//:bad`: Genrule x failed with exit code 3\nline 1\n")
    assert len(told.splitlines()) > 290


def test_a_trace_is_written(built: Lamina) -> None:
    done = built("log", "--trace", "out/trace.json", at="")

    assert done.returncode == 0
    events = json.loads((built.root / "out/trace.json").read_text())["traceEvents"]
    names = {event["name"] for event in events if event["ph"] == "X"}
    assert {"loading", "executing", "Genrule a.out", "Genrule b.out"} <= names


def test_an_interrupted_build_is_on_record(lamina: Lamina) -> None:
    lamina.write({"BUILD": "genrule(name = 'a', outs = ['a.out'], cmd = 'touch $@; sleep 60')\n"})
    child = lamina.start("build", "//...")
    end = time.monotonic() + 30
    while not list(lamina.store.glob("tmp/*/*/**/a.out")) and time.monotonic() < end:
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGINT)
    child.communicate()

    told = json.loads(lamina("log", "show", "--json").stdout)

    assert told["result"] == "interrupted"
    assert [(each["action"], each["state"]) for each in told["slowest"]] == [
        ("Genrule a.out", "stopped")
    ]


def test_other_commands_that_build_are_on_record(lamina: Lamina) -> None:
    lamina.write({"BUILD": "py_binary(name = 'm', srcs = ['m.py'])\n", "m.py": "print(1)\n"})

    lamina("package", "//:m")

    [entry] = json.loads(lamina("log", "--json").stdout)
    assert (entry["words"], entry["result"]) == (["package", "//:m"], "succeeded")


def test_where_no_build_is_on_record_that_is_told(lamina: Lamina) -> None:
    assert lamina("log").stderr == "no build of this workspace is on record\n"
    assert lamina("log", "show").stderr == "error: no build of this workspace is on record\n"


def test_a_build_that_is_not_on_record_is_told(built: Lamina) -> None:
    assert built("log", "show", "99").stderr.startswith("error: no build 99 is on record\n")
    assert built("log", "show", "x").stderr.startswith("error: not a number: `x`\n")
    assert built("log", "--trace", "BUILD/x").stderr.startswith("error: cannot write `BUILD/x`")
