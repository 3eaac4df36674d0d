"""JSON of BUILD files: what is refused, and how it is laid out."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.build import jsontext
from lamina.build.evaluation import CallFault

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1, 2.5e3]", ""),
        ("[1,", "not JSON, at line 1, column 4: expecting value"),
        ("1e999", "not JSON that can be read: the number `1e999` is too large, or none"),
        ("[NaN]", "not JSON that can be read: the number `NaN` is too large, or none"),
        ('{"a": 1, "a": 2}', "not JSON that can be read: an object has two keys `a`"),
        (7, "`json.decode` takes a string, not `7`"),
    ],
)
def test_what_is_not_json_is_told(text: object, words: str) -> None:
    assert jsontext.fault(text) == words


def test_brackets_that_are_too_deep_are_told() -> None:
    assert jsontext.fault("[" * 100_000).startswith("not JSON that can be read")


@given(VALUES, st.booleans())
def test_a_layout_is_that_of_python(value: object, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)

    expected = json.dumps(value, ensure_ascii=ascii_only, indent="  ")

    assert jsontext.indent(text, "", "  ") == expected


def test_a_layout_keeps_words_as_they_are_and_starts_lines_with_the_prefix() -> None:
    text = '{"a":[1.50,"\\u1234"],"b":[],"c":{}}'

    found = jsontext.indent(text, ">", " ")

    assert found == '{\n> "a": [\n>  1.50,\n>  "\\u1234"\n> ],\n> "b": [],\n> "c": {}\n>}'


def test_only_json_is_laid_out() -> None:
    with pytest.raises(CallFault, match="not JSON"):
        jsontext.indent("[", "", " ")
