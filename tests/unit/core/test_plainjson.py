"""JSON without the module `json`: the same text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.core import plainjson

leaves = (
    st.text() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
values = st.recursive(
    leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@given(values)
def test_it_is_what_json_writes(value: object) -> None:
    assert plainjson.encode(value) == json.dumps(value, separators=(",", ":"))


def test_names_that_are_no_unicode_are_written_as_json_does() -> None:
    assert plainjson.encode(("\udcff",)) == json.dumps(["\udcff"])


def test_other_values_are_refused() -> None:
    with pytest.raises(TypeError):
        plainjson.encode(None)
