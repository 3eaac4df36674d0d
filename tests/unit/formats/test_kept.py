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


def test_what_is_read_ahead_is_not_read_again_while_the_file_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    kept.write(file, "form 1", VALUES)
    kept.read_ahead(str(file), "form 1")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", None)
        assert kept.read(file, "form 1") == VALUES

    assert kept.read(file, "form 1") is not kept.read(file, "form 1")  # each may change its own
    assert kept.reads()[str(file)] == "form 1"


@pytest.mark.parametrize("form", ["form 1", "form 2"])
def test_what_is_read_ahead_is_as_it_is_now(tmp_path: Path, form: str) -> None:
    file = tmp_path / "file"
    for path in (file, tmp_path / "other", tmp_path / "none"):
        kept.read_ahead(str(path), "form 1")
    kept.write(file, "form 1", 1)
    kept.read_ahead(str(file), "form 1")
    kept.write(file, form, 2)
    kept.write(tmp_path / "gone", "form 1", 3)
    kept.read_ahead(str(tmp_path / "gone"), "form 1")
    (tmp_path / "gone").unlink()

    assert kept.read(file, form) == 2
    assert kept.read(tmp_path / "gone", "form 1") is None
