"""What is remembered reads back as it was, or not at all."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lamina.formats import kept

VALUES = ({"a": [1, "é", b"x", (None, True)]}, 1.5)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)
same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@same_folder
@given(VALUE)
def test_values_read_back(tmp_path: Path, values: Any) -> None:
    kept.write(tmp_path / "file", "form 1", values)

    assert kept.read(tmp_path / "file", "form 1") == values


@pytest.mark.parametrize("form", ["form 2", "form", "form 1, Python 3", ""])
def test_another_form_is_none(tmp_path: Path, form: str) -> None:
    kept.write(tmp_path / "file", "form 1", VALUES)

    assert kept.read(tmp_path / "file", form) is None


def test_every_flipped_bit_and_every_end_cut_off_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "file"
    kept.write(file, "form 1", VALUES)
    whole = file.read_bytes()

    for at in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[at // 8] ^= 1 << at % 8
        file.write_bytes(damaged)
        assert kept.read(file, "form 1") is None, at
    for end in range(len(whole)):
        file.write_bytes(whole[:end])
        assert kept.read(file, "form 1") is None, end


@same_folder
@given(st.binary() | st.builds(random.Random, st.integers()).map(lambda r: r.randbytes(5000)))
def test_other_bytes_are_none(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "file").write_bytes(data)

    assert kept.read(tmp_path / "file", "form 1") is None


def test_a_file_that_is_not_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    assert kept.read(tmp_path / "absent", "form 1") is None
    assert kept.read(tmp_path / "file" / "below", "form 1") is None
