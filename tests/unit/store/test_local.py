"""The store in a folder: what lies on disk, and what other processes may do meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

import lamina
from lamina.core.digest import Digest
from lamina.core.errors import HostError, IntegrityError, UserError
from lamina.linux import filesystem
from lamina.store import held, local
from lamina.store.blobs import BlobMissing
from lamina.store.local import LocalStore

ABC = Digest("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", 3)
ABC_PATH = "ba/7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def content(folder: Path) -> list[str]:
    """Every file below a folder."""
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


class TestOnDisk:
    def test_a_blob_lies_at_its_hash_for_reading_only(self, store: LocalStore) -> None:
        store.write(b"abc")

        path = store.folder / "blobs" / ABC_PATH
        assert path.read_bytes() == b"abc"
        assert path.stat().st_mode & 0o777 == 0o444
        assert store.path(ABC) == path

    def test_nothing_but_the_blob_and_the_locks_stay(self, tmp_path: Path) -> None:
        store = LocalStore(tmp_path)
        store.write(b"abc")
        store.write(b"abc")
        store.close()

        assert content(tmp_path) == ["VERSION", f"blobs/{ABC_PATH}", "lock", "tmp.lock"]
        assert not (tmp_path / "tmp").exists()

    def test_what_was_written_is_there_for_the_next_one_who_opens(self, store: LocalStore) -> None:
        store.write(b"abc")

        again = LocalStore(store.folder)
        assert again.read(ABC) == b"abc"
        again.close()

    @pytest.mark.parametrize("damage", [b"abd", b"", b"abcabc"])
    def test_a_blob_that_was_damaged_is_not_handed_out(
        self, store: LocalStore, damage: bytes
    ) -> None:
        damage_blob(store, damage)

        with pytest.raises(IntegrityError, match=f"blob `{ABC.hash}` does not match its name"):
            store.read(ABC)

    @pytest.mark.parametrize("damage", [b"", b"abcabc"])
    def test_a_blob_of_the_wrong_size_is_missing_and_written_anew(
        self, store: LocalStore, damage: bytes
    ) -> None:
        damage_blob(store, damage)

        assert store.missing([ABC]) == {ABC}
        store.write(b"abc")

        assert store.read(ABC) == b"abc"

    def test_the_path_of_an_absent_blob_is_an_error_that_names_it(self, store: LocalStore) -> None:
        for executable in (False, True):
            with pytest.raises(BlobMissing, match=ABC.hash):
                store.path(ABC, executable=executable)

        assert not (store.folder / "executables" / ABC_PATH).exists()

    def test_verifying_drops_a_damaged_blob_and_no_other(self, store: LocalStore) -> None:
        store.write(b"abc")
        store.verify(ABC)

        damage_blob(store, b"abd")
        with pytest.raises(IntegrityError, match=f"blob `{ABC.hash}` does not match its name"):
            store.verify(ABC)

        assert not store.has(ABC)
        with pytest.raises(BlobMissing):
            store.verify(ABC)


def damage_blob(store: LocalStore, data: bytes) -> None:
    path = store.path(store.write(b"abc"))
    path.chmod(0o644)
    path.write_bytes(data)


class TestExecutables:
    def test_an_executable_has_the_bytes_of_its_blob_and_may_be_run(
        self, store: LocalStore
    ) -> None:
        digest = store.write(b"#!/bin/sh\necho ran\n")

        path = store.path(digest, executable=True)

        assert subprocess.run([path], capture_output=True, check=True).stdout == b"ran\n"
        assert path.stat().st_mode & 0o777 == 0o555
        assert store.path(digest).stat().st_mode & 0o777 == 0o444

    def test_an_executable_is_made_once(self, store: LocalStore) -> None:
        digest = store.write(b"abc")
        first = store.path(digest, executable=True).stat().st_ino

        again = LocalStore(store.folder)

        assert store.path(digest, executable=True).stat().st_ino == first
        assert again.path(digest, executable=True).stat().st_ino == first
        again.close()

    def test_an_executable_is_made_again_after_the_store_was_emptied(
        self, store: LocalStore
    ) -> None:
        store.path(store.write(b"abc"), executable=True)
        store.empty()

        store.write(b"abc")

        assert store.path(ABC, executable=True).read_bytes() == b"abc"


class TestFilesOfOthers:
    def test_add_keeps_a_copy_and_leaves_the_file_alone(
        self, store: LocalStore, tmp_path: Path
    ) -> None:
        source = tmp_path / "source"
        source.write_bytes(b"abc")
        source.chmod(0o640)

        assert store.add(source) == ABC

        source.write_bytes(b"changed")
        assert store.read(ABC) == b"abc"
        assert source.stat().st_mode & 0o777 == 0o640

    def test_add_of_a_large_file_names_all_of_it(self, store: LocalStore, tmp_path: Path) -> None:
        data = os.urandom(2_500_000)
        (tmp_path / "source").write_bytes(data)

        assert store.add(tmp_path / "source") == Digest.of(data)
        assert store.read(Digest.of(data)) == data

    def test_take_moves_the_file_itself(self, store: LocalStore) -> None:
        source = store.scratch / "made"
        source.write_bytes(b"abc")
        inode = source.stat().st_ino

        assert store.take(source) == ABC

        assert not source.exists()
        assert store.path(ABC).stat().st_ino == inode
        assert store.path(ABC).stat().st_mode & 0o777 == 0o444

    def test_add_of_a_file_that_is_gone_leaves_no_scratch(
        self, store: LocalStore, tmp_path: Path
    ) -> None:
        with pytest.raises(FileNotFoundError):
            store.add(tmp_path / "gone")

        assert list(store.scratch.iterdir()) == []


class TestTwoProcesses:
    def test_two_writers_of_the_same_blobs_both_succeed_and_leave_them_whole(
        self, tmp_path: Path
    ) -> None:
        with another(tmp_path, _WRITER) as (one, _), another(tmp_path, _WRITER) as (two, _):
            for writer in (one, two):  # both have the store open, and wait
                assert writer.stdin is not None
                writer.stdin.close()

            assert (one.wait(), two.wait()) == (0, 0)

        blobs = content(tmp_path / "blobs")
        assert len(blobs) == 200
        for name in blobs:
            data = (tmp_path / "blobs" / name).read_bytes()
            assert Digest.of(data).hash == name.replace("/", "")
        assert not (tmp_path / "tmp").exists()

    def test_scratch_of_a_killed_process_is_removed_by_the_next_one(
        self, store: LocalStore
    ) -> None:
        with another(store.folder) as (child, scratch):
            child.send_signal(signal.SIGKILL)
            child.wait()
            assert (scratch / "half").exists()

            assert store.scratch.exists()
            assert not scratch.exists()

    def test_scratch_of_a_living_process_stays(self, store: LocalStore) -> None:
        with another(store.folder) as (_, scratch):
            assert store.scratch != scratch

            assert (scratch / "half").read_bytes() == b"half of a bl"

    def test_scratch_of_a_killed_process_is_removed_with_its_read_only_folders(
        self, store: LocalStore
    ) -> None:
        with another(store.folder) as (child, scratch):
            (scratch / "a/b").mkdir(parents=True)
            (scratch / "a").chmod(0o500)
            child.kill()
            child.wait()

            assert store.scratch.exists()
            assert not scratch.exists()

    def test_a_process_that_ends_removes_its_scratch_under_the_lock_of_who_sweeps(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = LocalStore(tmp_path)
        scratch = store.scratch
        seen: list[tuple[Path, bool]] = []

        def remove_tree(folder: Path) -> None:
            with (tmp_path / "tmp.lock").open("rb") as file:
                seen.append((folder, filesystem.try_lock(file.fileno())))

        monkeypatch.setattr(filesystem, "remove_tree", remove_tree)
        store.close()

        assert seen == [(scratch, False)]


_WRITER = """
import sys
from pathlib import Path
from lamina.store.local import LocalStore

store = LocalStore(Path(sys.argv[1]))
print(store.scratch, flush=True)
sys.stdin.read()
for number in range(200):
    data = b"%d" % number * 1000
    assert store.read(store.write(data)) == data
store.close()
"""

_USER = """
import sys
from pathlib import Path
from lamina.store.local import LocalStore

store = LocalStore(Path(sys.argv[1]))
(store.scratch / "half").write_bytes(b"half of a bl")
print(store.scratch, flush=True)
sys.stdin.read()
"""


@contextmanager
def another(folder: Path, script: str = _USER) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that has a store open, and its scratch folder."""
    source = str(Path(lamina.__path__[0]).parent)
    with subprocess.Popen(
        [sys.executable, "-c", script, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": source},
    ) as child:
        assert child.stdout is not None
        try:
            yield child, Path(child.stdout.readline().strip())
        finally:
            child.kill()


class TestEmpty:
    def test_an_emptied_store_has_no_content_and_goes_on_working(self, store: LocalStore) -> None:
        store.path(store.write(b"abc"), executable=True)
        for folder in ("actions", "packages", "merged", "workspaces"):
            filesystem.write_atomic(store.folder / folder / "x/y", b"")

        store.empty()

        assert content(store.folder) == ["VERSION", "lock", "tmp.lock"]
        assert store.read(store.write(b"abc")) == b"abc"

    def test_a_store_that_another_process_uses_is_not_emptied(self, store: LocalStore) -> None:
        store.write(b"abc")

        with (
            another(store.folder),
            pytest.raises(UserError, match=f"another lamina uses the store `{store.folder}`"),
        ):
            store.empty()

        assert store.read(ABC) == b"abc"

    def test_who_was_refused_still_keeps_others_from_emptying(self, store: LocalStore) -> None:
        other = LocalStore(store.folder)
        with pytest.raises(UserError):
            store.empty()

        with pytest.raises(UserError):
            other.empty()
        other.close()

    def test_a_store_may_be_emptied_once_the_other_process_was_killed(
        self, store: LocalStore
    ) -> None:
        store.write(b"abc")
        with another(store.folder) as (child, _):
            child.kill()
            child.wait()

            store.empty()

        assert store.missing([ABC]) == {ABC}


class TestOpening:
    @pytest.mark.parametrize("found", [b"2\n", b"", b"\xff\xfe"])
    def test_a_store_of_another_format_is_left_alone(self, tmp_path: Path, found: bytes) -> None:
        (tmp_path / "VERSION").write_bytes(found)

        with pytest.raises(UserError, match=r"has format .*, this lamina knows format 1") as caught:
            LocalStore(tmp_path)

        assert caught.value.hint == "set LAMINA_STORE to another folder"
        assert content(tmp_path) == ["VERSION"]

    @pytest.mark.parametrize("folder", ["file", "file/below"])
    def test_a_store_cannot_lie_where_there_is_a_file(self, tmp_path: Path, folder: str) -> None:
        (tmp_path / "file").write_bytes(b"")

        with pytest.raises(HostError, match="cannot keep a store in") as caught:
            LocalStore(tmp_path / folder)

        assert caught.value.hint == "set LAMINA_STORE to a folder you may write"

    def test_a_store_of_another_user_is_refused_in_words(
        self, store: LocalStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def deny(*_: object) -> int:
            raise PermissionError(13, "Permission denied")  # which root never meets

        monkeypatch.setattr("os.open", deny)

        with pytest.raises(HostError, match=r"cannot keep a store in .*: Permission denied"):
            LocalStore(store.folder)

    @pytest.mark.parametrize(
        ("variables", "folder"),
        [
            ({"LAMINA_STORE": "/a", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/a"),
            ({"LAMINA_STORE": "", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/b/lamina"),
            ({"HOME": "/c"}, "/c/.cache/lamina"),
        ],
    )
    def test_the_store_lies_where_the_environment_says(
        self, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], folder: str
    ) -> None:
        for name in ("LAMINA_STORE", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

        assert local.default_folder() == Path(folder)

    def test_a_relative_store_is_the_same_from_every_folder(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("LAMINA_STORE", "here")

        assert local.default_folder() == tmp_path / "here"


def test_a_damaged_blob_is_gone_once_it_was_read_and_heals_by_the_next_write(
    store: LocalStore,
) -> None:
    digest = store.write(b"right")
    damage(store.path(digest), b"wrong")

    with pytest.raises(IntegrityError):
        store.read(digest)
    store.write(b"right")

    assert store.read(digest) == b"right"


def test_a_blob_of_another_size_is_missing(store: LocalStore) -> None:
    digest = store.write(b"right")
    damage(store.path(digest), b"")

    with pytest.raises(BlobMissing):
        store.path(digest)


def damage(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


def test_a_blob_is_read_as_a_stream(store: LocalStore) -> None:
    digest = store.write(b"some bytes")

    with store.open(digest) as file:
        assert file.read(4) == b"some"
        assert file.read() == b" bytes"
        assert file.read() == b""


def test_a_damaged_blob_is_known_at_the_end_of_its_stream_and_gone_then(store: LocalStore) -> None:
    digest = store.write(b"some bytes")
    path = store.path(digest)
    path.chmod(0o644)
    path.write_bytes(b"same bytes")

    with pytest.raises(IntegrityError), store.open(digest) as file:
        assert file.read() == b"same bytes"

    assert not store.has(digest)


class TestHeld:
    def test_what_is_held_is_there_without_a_file(self, store: LocalStore) -> None:
        assert store.hold(b"abc") == ABC

        assert store.has(ABC)
        assert store.read(ABC) == b"abc"
        assert content(store.folder / "blobs") == []

    def test_it_becomes_a_file_when_one_is_asked_for(self, store: LocalStore) -> None:
        store.hold(b"abc")

        assert store.path(ABC).read_bytes() == b"abc"
        assert content(store.folder / "blobs") == [ABC_PATH]
        store.verify(ABC)

    def test_it_is_gone_with_the_store(self, store: LocalStore) -> None:
        store.hold(b"abc")

        again = LocalStore(store.folder)
        assert not again.has(ABC)
        again.close()

    def test_more_than_fits_in_memory_is_a_file_at_once(
        self, store: LocalStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(held, "ROOM", 5)
        store.hold(b"defg")
        store.hold(b"abc")

        assert content(store.folder / "blobs") == [ABC_PATH]

    def test_room_is_given_back(self, store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(held, "ROOM", 5)
        store.path(store.hold(b"defg"))
        store.hold(b"abc")

        assert len(content(store.folder / "blobs")) == 1

    def test_a_large_one_is_a_file_at_once(self, store: LocalStore) -> None:
        store.hold(bytes(held.SMALL + 1))

        assert len(content(store.folder / "blobs")) == 1

    def test_a_promise_is_kept(self, store: LocalStore, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"abc")
        store.promise(ABC, str(tmp_path / "file"))

        assert store.has(ABC)
        assert store.read(ABC) == b"abc"
        assert content(store.folder / "blobs") == [ABC_PATH]

    @pytest.mark.parametrize("now", [b"abd", b"", None])
    def test_a_promise_that_is_broken_is_a_blob_that_is_missing(
        self, store: LocalStore, tmp_path: Path, now: bytes | None
    ) -> None:
        store.promise(ABC, str(tmp_path / "file"))
        if now is not None:
            (tmp_path / "file").write_bytes(now)

        with pytest.raises(BlobMissing):
            store.path(ABC)
        assert not store.has(ABC)

    def test_several_may_ask_for_the_file_at_once(self, store: LocalStore, tmp_path: Path) -> None:
        digests = [store.hold(b"%d" % number) for number in range(300)]
        for number in range(300, 400):
            (tmp_path / f"{number}").write_bytes(b"%d" % number)
            digests.append(Digest.of(b"%d" % number))
            store.promise(digests[-1], str(tmp_path / f"{number}"))

        def work(_: int) -> list[bytes]:
            return [store.path(digest).read_bytes() for digest in digests]

        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(work, range(4)))

        assert found == [[b"%d" % number for number in range(400)]] * 4
