"""Records of starts: whole and one's own, or nothing."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.store import starts
from lamina.store.starts import Start

words = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=8)
numbers = st.integers(0, 2**40)
records = st.builds(
    Start,
    words,
    words,
    words,
    st.lists(words, min_size=1, max_size=3),
    st.lists(words, max_size=3),
    st.lists(st.tuples(words, words, numbers, words), max_size=3),
    st.lists(st.tuples(words, words, words), max_size=3),
    st.lists(words, max_size=3),
    st.lists(words, max_size=3),
    st.lists(st.tuples(words, words), max_size=3),
    st.lists(words, max_size=3),
)
IMAGE = ("/b", "erofs", 0, "1")
RECORD = Start("ab", "t-1", "", ["/packages/t-1/t"], ["A=1"], [IMAGE], [], [], [], [], [])


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / starts.FOLDER).mkdir()
    found = starts.path(str(tmp_path), ["train/a:1"])
    assert found is not None
    Path(found).write_bytes(starts.encode(RECORD))
    return Path(found)


@given(records)
def test_what_was_written_is_read(record: Start) -> None:
    assert starts.decode(starts.encode(record)) == record


@given(records, st.data())
def test_a_record_that_was_cut_off_is_none(record: Start, data: st.DataObject) -> None:
    whole = starts.encode(record)

    assert starts.decode(whole[: data.draw(st.integers(0, len(whole) - 1))]) is None


@given(st.binary(max_size=60) | st.binary(max_size=60).map(b"lamina start 5\0".__add__))
def test_what_is_no_record_is_none(data: bytes) -> None:
    assert starts.decode(data) is None


def test_each_reference_has_a_place_of_its_own(tmp_path: Path) -> None:
    names = [["a/b"], ["a%2Fb"], ["a%b"], ["a"], ["a:1"], ["a", "b"], ["a b"], ["a%20b"]]

    assert len({starts.path(str(tmp_path), name) for name in names}) == len(names)
    assert starts.path(str(tmp_path), ["a" * 300]) is None


def test_words_that_may_be_secret_are_in_no_name(tmp_path: Path) -> None:
    found = starts.path(str(tmp_path), ["--env", "TOKEN=hunter2", "train/a"])

    assert found is not None
    assert "hunter2" not in found
    assert found != starts.path(str(tmp_path), ["--env", "TOKEN=hunter3", "train/a"])


def test_a_record_is_read_by_its_reference(place: Path, tmp_path: Path) -> None:
    assert starts.read(str(tmp_path), ["train/a:1"]) == RECORD
    assert starts.read(str(tmp_path), ["train/a:2"]) is None


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_what_others_may_write_is_not_believed(place: Path, tmp_path: Path, mode: int) -> None:
    place.chmod(mode)

    assert starts.read(str(tmp_path), ["train/a:1"]) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another user")
def test_what_another_user_wrote_is_not_believed(place: Path, tmp_path: Path) -> None:
    os.chown(place, 4321, 4321)

    assert starts.read(str(tmp_path), ["train/a:1"]) is None


def test_neither_a_link_nor_a_pipe_is_a_record(place: Path, tmp_path: Path) -> None:
    place.rename(tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    assert starts.read(str(tmp_path), ["train/a:1"]) is None

    place.unlink()
    os.mkfifo(place)
    assert starts.read(str(tmp_path), ["train/a:1"]) is None


def test_a_file_that_changes_has_another_state(tmp_path: Path) -> None:
    file = tmp_path / "file"
    states = {starts.state(str(file))}

    file.write_text("1")
    states.add(starts.state(str(file)))
    file.chmod(0o600)
    states.add(starts.state(str(file)))
    file.unlink()

    assert len(states) == 3
    assert starts.state(str(file)) in states


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes a user who may not remove the file")
def test_a_record_that_another_user_keeps_stays_and_stops_nobody() -> None:
    with tempfile.TemporaryDirectory() as store:  # pytest's own are closed to other users
        Path(store).chmod(0o755)
        found = Path(store, starts.FOLDER, "0-a")
        found.parent.mkdir(mode=0o755)
        found.write_bytes(starts.encode(RECORD))
        os.seteuid(4321)
        try:
            starts.sweep(store, set[str]().__contains__)
        finally:
            os.seteuid(0)

        assert found.exists()


def test_records_of_packages_that_are_gone_are_removed(place: Path, tmp_path: Path) -> None:
    starts.sweep(str(tmp_path), {"ab"}.__contains__)
    assert place.exists()
    (place.parent / "damaged").write_bytes(b"x")

    starts.sweep(str(tmp_path), set[str]().__contains__)

    assert not list(place.parent.iterdir())
    starts.sweep(str(tmp_path / "none"), {"ab"}.__contains__)
