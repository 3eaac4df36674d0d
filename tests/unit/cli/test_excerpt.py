"""Short forms of what tools print."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.cli import excerpt


def test_a_short_text_stays_as_it_is() -> None:
    assert excerpt.clipped("a\n\nb\n") == "a\n\nb"


def test_of_a_long_text_the_beginning_and_the_end_stay() -> None:
    lines = excerpt.clipped("\n".join(map(str, range(1000)))).split("\n")

    assert lines[0] == "0"
    assert lines[-1] == "999"
    assert "… 910 lines are left out" in lines[60]
    assert len(lines) == 91


def test_a_long_line_is_cut() -> None:
    assert excerpt.clipped("x" * 5000) == "x" * 1000 + "…"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("`//:a`: Genrule a failed with exit code 3", "failed with exit code 3"),
        ("`//:a`: no input", "`//:a`: no input"),
        ("head\n\n  no a\nmore", "no a"),
        ("head\na.cc: In function x:\na.cc:2: error: bad\nlater error", "a.cc:2: error: bad"),
    ],
)
def test_the_first_line_that_tells_of_an_error_is_found(message: str, expected: str) -> None:
    assert excerpt.first_error(message) == expected


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("CxxCompile a.cc", 15, "CxxCompile a.cc"),
        ("CxxCompile long/folder/a.cc", 15, "CxxC…older/a.cc"),
        ("文件文件文件.cc", 8, "文…件.cc"),
        ("a\x1b[2Jb\n", 9, "a?[2Jb?"),
        ("abc", 1, "…"),
        ("abc", 0, ""),
    ],
)
def test_a_text_is_cut_in_its_middle(text: str, width: int, expected: str) -> None:
    assert excerpt.fitted(text, width) == expected


@given(st.text(), st.integers(0, 30))
def test_a_fitted_text_never_takes_more_columns(text: str, width: int) -> None:
    assert excerpt.columns(excerpt.fitted(text, width)) <= width
