"""Why an action ran again, from two of its runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lamina.build.history.details import Execution
from lamina.build.history.reasons import Change, changes, explain

RUN = Execution(
    build=1, state="ran", owner="//a:b", mnemonic="Compile", subject="a.c", outputs=("a.o",),
    arguments=("gcc", "-O1", "-g", "a.c"), environment=("LANG=C",), toolchain="gcc 12",
    settings=("network",), inputs={"a.c": "1", "a.h": "2"}, names=("a.c", "a.h", "b.h"),
    origins={"a.h": "//:gen\0Genrule a.h", "include": "src/include"},
)  # fmt: skip


@pytest.mark.parametrize(
    ("different", "expected"),
    [
        ({"inputs": {"a.c": "3", "a.h": "2"}}, [Change("input", "a.c", "1", "3")]),
        (
            {"inputs": {"a.c": "1", "a.h": "4"}},
            [Change("input", "a.h", "2", "4", "//:gen\0Genrule a.h")],
        ),
        (
            {"inputs": {"a.c": "1", "a.h": "2", "include/x/y.h": "5"}},
            [Change("input", "include/x/y.h", None, "5", "src/include/x/y.h")],
        ),
        (
            {"inputs": {"a.h": "2"}, "names": ("a.h", "b.h")},
            [Change("input", "a.c", "1", None)],
        ),
        (
            {"names": ("a.c", "a.h", "c.h")},
            [
                Change("input", "b.h", "not read", None),
                Change("input", "c.h", None, "not read"),
            ],
        ),
        (
            {"arguments": ("gcc", "-O2", "-g", "a.c")},
            [Change("argument", "-O2", "-O1", "-O2")],
        ),
        (
            {"arguments": ("gcc", "-g", "a.c", "-DX")},
            [Change("argument", "-O1", "-O1", None), Change("argument", "-DX", None, "-DX")],
        ),
        (
            {"environment": ("A=b=c", "LANG=D")},
            [
                Change("environment", "A", None, "b=c"),
                Change("environment", "LANG", "C", "D"),
            ],
        ),
        ({"toolchain": "gcc 13"}, [Change("toolchain", "", "gcc 12", "gcc 13")]),
        (
            {"settings": ("timeout=1", "again")},
            [
                Change("setting", "network", "network", None),
                Change("setting", "timeout=1", None, "timeout=1"),
            ],
        ),
        ({"digest": "other", "begun": 5.0, "build": 2}, []),
    ],
)
def test_what_is_different_is_found(different: dict[str, Any], expected: list[Change]) -> None:
    assert list(changes(RUN, replace(RUN, **different))) == expected


def test_many_arguments_are_compared_as_sets() -> None:
    many = tuple(f"{n}.o" for n in range(5000))

    found = changes(replace(RUN, arguments=many), replace(RUN, arguments=(*many[1:], "x.o")))

    assert list(found) == [
        Change("argument", "0.o", "0.o", None), Change("argument", "x.o", None, "x.o"),
    ]  # fmt: skip


EDITED = replace(RUN, build=2, inputs={"a.c": "9", "a.h": "2"})
FAILED = replace(RUN, build=2, state="failed", inputs=None)
AGAIN = replace(RUN, build=3)


@pytest.mark.parametrize(
    ("runs", "verdict", "since"),
    [
        ([RUN], "new", None),
        ([EDITED, RUN], "changed", 1),
        ([AGAIN, RUN], "gone", 1),
        ([AGAIN, FAILED, RUN], "failed", 2),
        ([replace(EDITED, build=3), FAILED, RUN], "changed", 1),
        ([FAILED, RUN], "unknown", 1),
        ([replace(AGAIN, settings=("network", "again")), RUN], "asked", 1),
        ([replace(AGAIN, settings=("network", "fleeting")), RUN], "unkept", 1),
    ],
)
def test_there_is_one_verdict(runs: list[Execution], verdict: str, since: int | None) -> None:
    reason = explain(runs)

    assert (reason.verdict, reason.before and reason.before.build) == (verdict, since)


def test_an_input_that_an_action_made_names_it() -> None:
    assert Change("input", "a.h", "1", "2", "//:gen\0Genrule a.h").maker == (
        "//:gen",
        "Genrule a.h",
    )
    assert Change("input", "a.h", "1", "2", "src/a.h").maker is None
