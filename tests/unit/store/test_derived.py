"""What is made of blobs: it is known again as it was made, and stays while its blobs are in use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lamina.core.digest import Digest
from lamina.store import derived, gc, leases
from lamina.store.gc import Bounds
from lamina.store.local import LocalStore

OLD = 1_000_000_000  # seconds since 1970


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    with closing(LocalStore(tmp_path / "store")) as opened:
        yield opened


def make(store: LocalStore, kind: str, members: list[Digest], content: bytes = b"made") -> Path:
    """Something that is made of blobs, a file or a folder with one, and was not used for long."""
    names = [each.hash for each in members]
    name = derived.key(kind, names)
    state = derived.of_file if kind == derived.MERGED else derived.of_folder
    with derived.making(kind, name, names, store, state) as made:
        assert made is not None
        if kind == derived.MERGED:
            made.write_bytes(content)
        else:
            (made / "inner").mkdir(parents=True)
            (made / "inner/file").write_bytes(content)
            (made / "inner").chmod(0o555)
    for path in (derived.place(kind, name, store.folder), store.folder / "made" / name[:2]):
        for each in (path, *path.rglob("*")):
            os.utime(each, (OLD, OLD))
    return derived.place(kind, name, store.folder)


def found(store: LocalStore, path: Path) -> Path | None:
    kind, name = path.parent.parent.name, path.parent.name + path.name
    state = derived.of_file if kind == derived.MERGED else derived.of_folder
    return derived.kept(kind, name, store.folder, state)


@pytest.mark.parametrize("kind", derived.KINDS)
def test_what_is_made_is_found_as_long_as_it_is_as_it_was(store: LocalStore, kind: str) -> None:
    again = make_again(store, kind)

    assert found(store, again) == again
    inner = again if kind == derived.MERGED else again / "inner/file"
    inner.chmod(0o644)
    inner.write_bytes(b"MADE")
    assert found(store, again) is None


def make_again(store: LocalStore, kind: str) -> Path:
    """Something whose times nobody has changed since it was made."""
    name = derived.key(kind, ["x" * 64])
    state = derived.of_file if kind == derived.MERGED else derived.of_folder
    with derived.making(kind, name, ["x" * 64], store, state) as made:
        assert made is not None
        if kind == derived.MERGED:
            made.write_bytes(b"made")
        else:
            (made / "inner").mkdir(parents=True)
            (made / "inner/file").write_bytes(b"made")
    return derived.place(kind, name, store.folder)


def test_what_failed_is_not_kept_and_leaves_nothing(store: LocalStore) -> None:
    name = derived.key("x", [])

    with pytest.raises(ZeroDivisionError), derived.making(derived.MERGED, name, [], store) as made:
        assert made is not None
        made.write_bytes(b"half")
        raise ZeroDivisionError

    assert derived.kept(derived.MERGED, name, store.folder) is None
    assert list(store.scratch.iterdir()) == []


def test_what_is_there_is_not_made_again(store: LocalStore) -> None:
    path = make_again(store, derived.MERGED)
    name = path.parent.name + path.name

    with derived.making(derived.MERGED, name, [], store) as made:
        assert made is None


@pytest.mark.parametrize("kind", derived.KINDS)
def test_a_sweep_removes_it_unless_all_of_its_blobs_are_in_use(
    store: LocalStore, kind: str
) -> None:
    one, other = store.write(b"one"), store.write(b"other")
    used, unused = make(store, kind, [one]), make(store, kind, [one, other])

    with leases.leased(store.folder, [one]):
        gc.sweep(store, Bounds(0))

    assert used.exists()
    assert not unused.exists()
    assert derived.members(unused.parent.name + unused.name, store.folder) == set()
    gc.sweep(store, Bounds(0))
    assert not used.exists()


def test_a_disk_that_changes_an_image_behind_our_back_is_found_out(store: LocalStore) -> None:
    right, wrong = (make(store, derived.MERGED, [store.write(each)]) for each in (b"1", b"2"))
    wrong.chmod(0o644)
    wrong.write_bytes(b"MADE")

    verified = gc.verify(store)

    assert verified.wrong == (wrong.parent.name + wrong.name,)
    assert verified.blobs == 4
    assert (right.exists(), wrong.exists()) == (True, False)


def test_a_sweep_counts_what_is_in_a_folder(store: LocalStore) -> None:
    make(store, derived.EXTRACTED, [store.write(b"one")], bytes(1 << 20))

    assert gc.sweep(store, Bounds(None)).used > 1 << 20
    assert gc.sweep(store, Bounds(0)).freed > 1 << 20


def test_what_was_used_last_goes_last(store: LocalStore) -> None:
    old = make(store, derived.MERGED, [store.write(b"one")])
    new = make_again(store, derived.MERGED)
    assert found(store, new) == new  # and so it is used
    size = sum(path.stat().st_blocks * 512 for path in (old, new))

    gc.sweep(store, Bounds(size - 1))

    assert new.exists()
    assert not old.exists()
