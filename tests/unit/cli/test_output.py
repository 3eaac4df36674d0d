"""What a person sees: sizes, numbers, durations, tables, errors, colours."""

from __future__ import annotations

import json

import pytest

from lamina.cli import output
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


def test_a_failure_that_was_told_when_it_happened_is_told_once(capsys: Capture) -> None:
    told, untold = ActionError("one"), ActionError("two")
    output.mark_told(told)

    output.error(told, as_json=False)
    output.error(ActionError("one\n\ntwo", parts=(told, untold)), as_json=False)

    assert capsys.readouterr().err == "error: one\n\ntwo\n"


def test_a_failure_that_was_told_is_still_data(capsys: Capture) -> None:
    fault = ActionError("one")
    output.mark_told(fault)

    output.error(fault, as_json=True)

    assert json.loads(capsys.readouterr().out)["error"]["message"] == "one"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.004, "0.00 s"),
        (9.994, "9.99 s"),
        (9.996, "10.0 s"),
        (59.9, "59.9 s"),
        (60, "1 min 00 s"),
        (245, "4 min 05 s"),
        (7380, "2 h 03 min"),
    ],
)
def test_durations_are_for_people(seconds: float, expected: str) -> None:
    assert output.duration(seconds) == expected


@pytest.mark.parametrize(
    ("term", "no_color", "expected"),
    [
        ("xterm", "", "\x1b[1mx\x1b[0m"),
        ("xterm", "1", "x"),
        ("dumb", "", "x"),
    ],
)
def test_colours_are_for_terminals_that_have_them(
    monkeypatch: pytest.MonkeyPatch, term: str, no_color: str, expected: str
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("NO_COLOR", no_color)

    assert output.painted("x", output.BOLD) == expected
