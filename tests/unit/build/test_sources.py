"""Source files by digest: each read once, and read again whenever it may have changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from lamina.build.sources import Sources
from lamina.core.errors import UserError
from lamina.core.tree import File, Folder
from lamina.linux import filesystem
from lamina.store.blobs import BlobMissing
from lamina.store.local import LocalStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    opened = LocalStore(tmp_path / "store")
    yield opened
    opened.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "workspace").mkdir()
    return tmp_path / "workspace"


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file was written long ago, as far as its time stamps tell."""
    monkeypatch.setattr("lamina.build.sources.settled", lambda known, when: True)


def read(root: Path, store: LocalStore, path: str) -> File:
    """The file as a new process finds it, which then keeps what it learnt."""
    sources = Sources(root, store, root.parent / "sources.json")
    node = sources.tree(path)[path]
    sources.save()
    assert isinstance(node, File)
    return node


def test_a_file_is_in_the_store_under_its_digest(root: Path, store: LocalStore) -> None:
    (root / "a").write_text("text")

    node = read(root, store, "a")

    assert node.digest.hash == sha256(b"text").hexdigest()
    assert store.read(node.digest) == b"text"


def test_a_folder_is_all_that_lies_below_it(root: Path, store: LocalStore) -> None:
    (root / "d/e").mkdir(parents=True)
    (root / "d/empty").mkdir()
    (root / "d/e/f").touch()
    (root / "d/g").touch()

    tree = Sources(root, store, root.parent / "x").tree("d")

    assert sorted(tree) == ["d/e/f", "d/empty", "d/g"]
    assert tree["d/empty"] == Folder()


def test_the_executable_bit_is_part_of_a_file(root: Path, store: LocalStore) -> None:
    (root / "a").touch()
    before = read(root, store, "a")
    (root / "a").chmod(0o755)

    assert (before.executable, read(root, store, "a").executable) == (False, True)


@pytest.mark.usefixtures("settled")
def test_an_unchanged_file_is_not_read_again(
    root: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "a").write_text("text")
    before = read(root, store, "a")
    monkeypatch.setattr(store, "add", lambda source: pytest.fail("it was read"))

    assert read(root, store, "a") == before


@pytest.mark.usefixtures("settled")
def test_a_file_replaced_by_one_of_the_same_size_and_time_is_noticed(
    root: Path, store: LocalStore
) -> None:
    (root / "a").write_text("one")
    before, status = read(root, store, "a"), (root / "a").stat()

    (root / "b").write_text("two")
    (root / "b").replace(root / "a")
    os.utime(root / "a", ns=(status.st_atime_ns, status.st_mtime_ns))

    assert read(root, store, "a") != before


def test_edits_within_one_tick_of_the_clock_are_noticed(root: Path, store: LocalStore) -> None:
    found = set()
    for text in ("one", "two", "six"):
        (root / "a").write_text(text)
        os.utime(root / "a", ns=(0, 0))
        found.add(read(root, store, "a"))

    assert len(found) == 3


def test_a_fresh_file_is_not_remembered(root: Path, store: LocalStore) -> None:
    (root / "a").touch()
    read(root, store, "a")

    assert Sources(root, store, root.parent / "sources.json")._known == {}


@pytest.mark.usefixtures("settled")
def test_a_file_whose_blob_is_gone_is_read_again(root: Path, store: LocalStore) -> None:
    (root / "a").write_text("text")
    node = read(root, store, "a")
    store.path(node.digest).unlink()

    assert store.read(read(root, store, "a").digest) == b"text"


def test_one_command_sees_one_content(root: Path, store: LocalStore) -> None:
    (root / "a").write_text("before")
    sources = Sources(root, store, root.parent / "x")
    before = sources.tree("a")
    (root / "a").write_text("after it")

    assert sources.tree("a") == before
    assert sources.read == before


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize(("call", "size"), [("hold", 6), ("add", 1 << 17)])
def test_a_file_that_changes_while_it_is_read_is_not_remembered(
    root: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch, call: str, size: int
) -> None:
    (root / "a").write_text("before".ljust(size))
    keep = getattr(store, call)

    def keep_then_edit(content: Path | bytes) -> object:
        digest = keep(content)
        (root / "a").write_text("edited")
        return digest

    monkeypatch.setattr(store, call, keep_then_edit)
    read(root, store, "a")
    monkeypatch.setattr(store, call, keep)

    assert store.read(read(root, store, "a").digest) == b"edited"


@pytest.mark.usefixtures("settled")
def test_what_is_known_is_not_read_before_it_is_asked_for(root: Path, store: LocalStore) -> None:
    (root / "a").write_text("text")
    read(root, store, "a")

    with closing(LocalStore(store.folder)) as again:
        found = read(root, again, "a")
        assert not list((store.folder / "blobs").glob("*/*"))
        assert again.read(found.digest) == b"text"


@pytest.mark.usefixtures("settled")
def test_an_edit_before_it_is_asked_for_is_noticed(root: Path, store: LocalStore) -> None:
    (root / "a").write_text("text")
    read(root, store, "a")

    with closing(LocalStore(store.folder)) as again:
        sources = Sources(root, again, root.parent / "sources.json")
        (old,) = sources.tree("a").values()
        assert isinstance(old, File)
        (root / "a").write_text("edited")
        with pytest.raises(BlobMissing):
            again.path(old.digest)
        sources.forget()
        (new,) = sources.tree("a").values()
        assert isinstance(new, File)
        assert again.read(new.digest) == b"edited"


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"a": 1}', '{"a": []}', '{"a": ["x"]}'])
def test_a_damaged_memory_costs_one_reading(root: Path, store: LocalStore, damage: str) -> None:
    (root / "a").write_text("text")
    (root.parent / "sources.json").write_text(damage)

    assert store.read(read(root, store, "a").digest) == b"text"


def test_a_link_is_what_it_points_to(root: Path, store: LocalStore) -> None:
    (root / "a").write_text("text")
    (root / "l").symlink_to("a")

    assert read(root, store, "l") == read(root, store, "a")


def test_a_link_to_nowhere_cannot_be_read(root: Path, store: LocalStore) -> None:
    (root / "dangling").symlink_to("nowhere")

    with pytest.raises(UserError, match="cannot read `dangling`: No such file"):
        read(root, store, "dangling")


def test_identities_tell_of_all_that_stat_can_show(root: Path) -> None:
    (root / "a").touch()
    before = filesystem.identity((root / "a").stat())
    (root / "a").chmod(0o755)

    assert filesystem.identity((root / "a").stat()) != before
