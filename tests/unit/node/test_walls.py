"""What is kept of a container: read back whole, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.node import walls
from lamina.node.walls import Walls
from lamina.store.starts import Fields

words = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=8)
many = st.lists(words, max_size=3)
pairs = st.lists(st.tuples(words, words), max_size=3)
records = st.builds(
    Walls, words, words, words, words, st.floats(0, 1e6), words, many, pairs, pairs,
    record=words, words=many, candidates=many, places=pairs,
)  # fmt: skip


@given(records)
def test_what_was_written_is_read(told: Walls) -> None:
    assert walls.decode(Fields(told.encode())).encode() == told.encode()


@given(records, st.data())
def test_what_was_cut_off_is_refused(told: Walls, data: st.DataObject) -> None:
    fields = told.encode()

    with pytest.raises((IndexError, ValueError)):
        walls.decode(Fields(fields[: data.draw(st.integers(0, len(fields) - 1))]))


def test_another_container_has_its_own_id_everywhere() -> None:
    told = Walls(
        "aa11", "/run", '{"hostname":"aa11"}', "none", 1.0, "", ["crun", "/run/aa11"],
        [("memory", "/c/lamina-aa11")], [("/c/lamina-aa11/pids.max", "5")],
        candidates=["/c/aa11"],
    )  # fmt: skip

    other = told.again("bb22")

    assert "aa11" not in "".join(other.encode())
    assert other.again("aa11").encode() == told.encode()
