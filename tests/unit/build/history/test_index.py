"""The list of builds."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lamina.build.history import index
from lamina.build.history.index import Entry

ENTRY = Entry(
    begun=1.5, seconds=0.25, words=("build", "//..."), result="succeeded", ran=3, cached=4,
    phases=(("loading", 0.0, 0.1),),
)  # fmt: skip


def test_builds_are_read_as_they_were_written(tmp_path: Path) -> None:
    numbers = [index.append(tmp_path, ENTRY) for _ in range(3)]

    found = index.read(tmp_path)
    assert numbers == [entry.number for entry in found] == [1, 2, 3]
    assert found[0].words == ("build", "//...")
    assert found[0].phases == ENTRY.phases


def test_before_the_first_build_there_is_none(tmp_path: Path) -> None:
    assert index.read(tmp_path / "absent") == []


def test_a_line_that_is_cut_short_is_passed_over(tmp_path: Path) -> None:
    index.append(tmp_path, ENTRY)
    with (tmp_path / "builds").open("a") as file:
        file.write('{"number": 2, "beg\n[]\n7\n')

    assert index.append(tmp_path, ENTRY) == 2
    assert [entry.number for entry in index.read(tmp_path)] == [1, 2]


def test_the_list_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "_TOO_LONG", 10_000)
    monkeypatch.setattr(index, "_KEPT", 5)
    for _ in range(200):
        index.append(tmp_path, ENTRY)

    found = index.read(tmp_path)
    assert len(found) < 60
    assert found[-1].number == 200


def test_builds_that_end_at_once_have_different_numbers(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        numbers = list(pool.map(lambda _: index.append(tmp_path, ENTRY), range(40)))

    assert sorted(numbers) == list(range(1, 41))
