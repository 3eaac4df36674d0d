"""Files that appear whole, locks, copies and removal."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lamina.linux import filesystem


@pytest.fixture
def umask() -> Iterator[int]:
    """A umask that would spoil every mode that is left to it."""
    before = os.umask(0o077)
    yield before
    os.umask(before)


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_is_written_with_its_folders_and_nothing_else(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "a/b/file"

    filesystem.write_atomic(path, b"data", durable=durable)

    assert path.read_bytes() == b"data"
    assert names(path.parent) == ["file"]


@pytest.mark.parametrize("mode", [0o644, 0o755, 0o444])
def test_a_written_file_has_its_mode_whatever_the_umask(
    tmp_path: Path, umask: object, mode: int
) -> None:
    filesystem.write_atomic(tmp_path / "file", b"", mode=mode)

    assert (tmp_path / "file").stat().st_mode & 0o7777 == mode


def test_who_has_a_file_open_keeps_reading_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    with path.open("rb") as reader:
        filesystem.write_atomic(path, b"new, and longer")

        assert reader.read() == b"old"
    assert path.read_bytes() == b"new, and longer"


def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()

    with pytest.raises(IsADirectoryError):
        filesystem.write_atomic(tmp_path / "file", b"data")

    assert names(tmp_path) == ["file"]


def test_a_temporary_name_is_gone_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), filesystem.temporary_beside(tmp_path / "file") as temporary:
        assert temporary.parent == tmp_path
        raise KeyError

    assert names(tmp_path) == []


def test_two_temporary_names_differ(tmp_path: Path) -> None:
    path = tmp_path / "file"

    with filesystem.temporary_beside(path) as one, filesystem.temporary_beside(path) as two:
        assert one != two


def test_a_copy_has_the_bytes_the_mode_and_a_life_of_its_own(tmp_path: Path, umask: object) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(3_000_000))

    filesystem.clone_or_copy(source, target, 0o555)

    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_mode & 0o7777 == 0o555
    assert target.stat().st_ino != source.stat().st_ino


def test_a_copy_does_not_replace_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"new")
    (tmp_path / "target").write_bytes(b"old")

    with pytest.raises(FileExistsError):
        filesystem.clone_or_copy(tmp_path / "source", tmp_path / "target", 0o644)


def test_a_link_is_the_same_file(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"data")

    filesystem.link_or_copy(source, target, 0o644)

    assert target.samefile(source)


def test_what_cannot_be_linked_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"data")

    def link(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", link)
    filesystem.link_or_copy(source, target, 0o444)

    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"data", 0o444)
    assert not target.samefile(source)


def test_a_lock_shuts_others_out_until_it_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "lock"

    with filesystem.locked(path):
        assert not free(path)

    assert free(path)


def test_a_shared_lock_admits_those_who_share_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"

    with filesystem.locked(path, shared=True), filesystem.locked(path, shared=True):
        assert not free(path)


def test_a_lock_is_given_up_by_an_error_too(tmp_path: Path) -> None:
    with pytest.raises(KeyError), filesystem.locked(tmp_path / "lock"):
        raise KeyError

    assert free(tmp_path / "lock")


def free(path: Path) -> bool:
    """Whether nobody holds a lock on a file."""
    with path.open("rb") as file:
        return filesystem.try_lock(file.fileno())


def test_a_tree_is_removed_though_its_folders_are_read_only(tmp_path: Path) -> None:
    inner = tmp_path / "tree/a/b"
    inner.mkdir(parents=True)
    (inner / "file").write_bytes(b"")
    for folder in (inner, inner.parent, tmp_path / "tree"):
        folder.chmod(0o500)

    filesystem.remove_tree(tmp_path / "tree")

    assert names(tmp_path) == []


def test_removing_a_tree_leaves_alone_what_its_links_point_to(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir(mode=0o755)
    (tmp_path / "kept/file").write_bytes(b"")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/link").symlink_to("../kept")

    filesystem.remove_tree(tmp_path / "tree")

    assert (tmp_path / "kept/file").exists()
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o755


def test_removing_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    filesystem.remove_tree(tmp_path / "nothing")


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(b"longer than before"),
        lambda path: path.chmod(0o600),
        lambda path: os.utime(path, ns=(0, 1)),
        lambda path: filesystem.write_atomic(path, b"data"),
    ],
    ids=["size", "mode", "time", "inode"],
)
def test_a_change_of_a_file_changes_its_identity(tmp_path: Path, change: object) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"data")
    before = filesystem.identity(path.stat())

    assert callable(change)
    change(path)

    assert filesystem.identity(path.stat()) != before


def test_reading_a_file_keeps_its_identity(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"data")
    before = filesystem.identity(path.stat())

    path.read_bytes()

    assert filesystem.identity(path.stat()) == before


def test_a_file_is_settled_once_its_clock_tick_must_be_over() -> None:
    second = 1_000_000_000
    known = (4, 10 * second, 1, 20 * second, 0o644)  # size, mtime, inode, ctime, mode

    assert not filesystem.settled(known, 20 * second)
    assert filesystem.settled(known, 21 * second)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_a_link_to_a_folder_is_removed_without_the_folder(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").touch()
    (tmp_path / "link").symlink_to("kept")

    filesystem.remove_tree(tmp_path / "link")

    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "kept/file").exists()


@pytest.mark.parametrize(("mode", "shared"), [(0o2775, True), (0o2755, False), (0o775, False)])
def test_what_is_made_in_a_folder_of_a_group_is_the_groups(
    tmp_path: Path, umask: object, mode: int, shared: bool
) -> None:
    tmp_path.chmod(mode)

    filesystem.make_folder(tmp_path / "a/b")
    os.close(filesystem.open_shared(tmp_path / "a/file"))
    filesystem.write_atomic(tmp_path / "c/file", b"")
    with filesystem.locked(tmp_path / "d/lock"):
        pass

    folders = {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_dir()}
    files = {(tmp_path / name).stat().st_mode & 0o777 for name in ("a/file", "d/lock")}
    assert folders == {0o770 if shared else 0o700}
    assert files == {0o660 if shared else 0o600}
    (tmp_path / "plain").touch()
    assert (tmp_path / "plain").stat().st_mode & 0o777 == 0o600  # the umask is what it was


def test_a_folder_cannot_be_made_where_there_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    for path in (tmp_path / "file", tmp_path / "file/folder"):
        with pytest.raises(OSError, match=r"File exists|Not a directory"):
            filesystem.make_folder(path)


def test_a_file_that_must_be_new_is_not_opened_twice(tmp_path: Path) -> None:
    os.close(filesystem.open_shared(tmp_path / "file", os.O_EXCL))

    with pytest.raises(FileExistsError):
        filesystem.open_shared(tmp_path / "file", os.O_EXCL)
