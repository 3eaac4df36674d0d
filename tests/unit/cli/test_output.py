"""What a person sees: sizes, numbers, tables, and progress off a terminal and on one."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Sequence
from typing import Protocol

import pytest

from lamina.build.events import Outcome
from lamina.cli import output
from lamina.core.action import Action
from lamina.core.digest import Digest
from lamina.core.errors import ActionError, UserError

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (4198, "4.1 KiB"),
        (1048575, "1.0 MiB"),
        (5 * 1024**3, "5.0 GiB"),
        (3000 * 1024**4, "3000.0 TiB"),
    ],
)
def test_sizes_are_for_people(count: int, expected: str) -> None:
    assert output.size(count) == expected


def test_one_is_not_many() -> None:
    assert [output.plural(count, "layer") for count in (0, 1, 2)] == [
        "0 layers", "1 layer", "2 layers",
    ]  # fmt: skip


def test_a_table_has_its_columns_one_below_the_other(capsys: Capture) -> None:
    output.table(("name", "size", ""), [("a", "1 B", "made"), ("long", "10 B", "")], right=(1,))

    assert capsys.readouterr().out == "name  size\na      1 B  made\nlong  10 B\n"


def test_an_error_goes_to_stderr(capsys: Capture) -> None:
    output.error(UserError("it is wrong", hint="right it"), as_json=False)

    assert capsys.readouterr() == ("", "error: it is wrong\nhint: right it\n")


def test_an_error_as_json_has_the_same_fields(capsys: Capture) -> None:
    output.error(ActionError("it failed"), as_json=True)

    told = json.loads(capsys.readouterr().out)
    assert told["error"] == {
        "class": "ActionError", "message": "it failed", "hint": None, "exit_code": 1,
    }  # fmt: skip


def action(name: str) -> Action:
    return Action("Test", f"//:{name}", ("true",), (), (name,), subject=name)


def outcome(name: str, *, cached: bool = False, printed: bytes = b"") -> Outcome:
    return Outcome(action(name), Digest.of(b""), {}, {}, cached, 0.0, 1.0, printed)


def test_plain_progress_tells_what_ran(capsys: Capture) -> None:
    progress = output.PlainProgress()
    progress.planned(2)
    progress.planned(1)
    for name, cached in (("a", False), ("b", True), ("c", False)):
        progress.finished(outcome(name, cached=cached))

    assert capsys.readouterr().err == "[1/3] Test a\n[3/3] Test c\n"


def test_quiet_progress_still_tells_warnings(capsys: Capture) -> None:
    output.PlainProgress(quiet=True).finished(outcome("a", printed=b"careful\n"))

    assert capsys.readouterr().err == "careful\n"


class Lamina(Protocol):
    environment: dict[str, str]

    def write(self, files: dict[str, str]) -> None: ...
    def command(self, *words: str) -> Sequence[str]: ...

    @property
    def root(self) -> os.PathLike[str]: ...


def test_on_a_terminal_progress_is_one_region_that_vanishes(lamina: Lamina) -> None:
    lamina.write({"BUILD": "genrule(name = 'g[x]', outs = ['x'], cmd = 'touch $@')\n"})
    terminal, other = pty.openpty()
    command = lamina.command("build", "//...")
    environment = lamina.environment | {"TERM": "xterm", "COLUMNS": "80"}

    done = subprocess.Popen(command, cwd=lamina.root, env=environment, stderr=other, stdout=other)
    os.close(other)
    shown = b""
    try:
        while data := os.read(terminal, 4096):
            shown += data
    except OSError:  # the other side is closed
        pass
    os.close(terminal)

    assert done.wait() == 0
    assert b" cached" in shown
    assert b"\x1b[2K" in shown  # wiped
    assert b"1 target built; 1 action run" in shown
