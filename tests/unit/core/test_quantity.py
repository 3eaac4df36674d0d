"""Sizes and times as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.core import quantity
from lamina.core.errors import UserError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1000", 1000),
        ("1K", 1024),
        ("2M", 2 << 20),
        ("1.5 GiB", 3 << 29),
        ("1TB", 1 << 40),
    ],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert quantity.size(text) == size


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "1X", "K", "inf", "nan", "1 2", "²", "9" * 400 + "T", "1e308T"]
)
def test_other_words_are_no_sizes(text: str) -> None:
    with pytest.raises(UserError, match="is no size"):
        quantity.size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90", 90),
        ("90s", 90),
        ("1.5m", 90),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("2d", 172_800),
        ("1w", 604_800),
        ("0.1s", 1),
        ("12:00:00", 43_200),
        ("01:30", 5400),
        ("2-00:00:10", 172_810),
    ],
)
def test_times_are_read(text: str, seconds: int) -> None:
    assert quantity.duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "1y", "h", "1h30", "1:2:3:4", "5 5", "²", "9" * 400 + "h"]
)
def test_other_words_are_no_times(text: str) -> None:
    with pytest.raises(UserError, match="is no time"):
        quantity.duration(text)


@given(st.text(max_size=20))
def test_any_text_is_a_quantity_or_an_error(text: str) -> None:
    for read in (quantity.size, quantity.duration):
        try:
            assert read(text) >= 0
        except UserError as error:
            assert error.hint
