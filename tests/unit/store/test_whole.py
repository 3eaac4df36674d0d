"""What is known to be whole is known until something is removed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError
from lamina.store import gc, whole
from lamina.store.gc import Bounds
from lamina.store.local import LocalStore
from lamina.store.whole import Whole

ONE, TWO = Digest.of(b"one"), Digest.of(b"two")


def test_nothing_is_known_in_a_new_store(store: LocalStore) -> None:
    assert ONE not in Whole(store.folder)


def test_what_was_added_is_known_the_next_time(store: LocalStore) -> None:
    Whole(store.folder).add([ONE], store.scratch)
    Whole(store.folder).add([TWO], store.scratch)

    found = Whole(store.folder)

    assert ONE in found
    assert TWO in found


def _sweep(store: LocalStore) -> None:
    gc.sweep(store, Bounds(most=0))


def _verify(store: LocalStore) -> None:
    gc.verify(store)


def _read(store: LocalStore) -> None:
    for path in (store.folder / "blobs").glob("*/*"):
        with contextlib.suppress(IntegrityError):
            store.read(Digest(path.parent.name + path.name, path.stat().st_size))


def _check(store: LocalStore) -> None:
    for path in (store.folder / "blobs").glob("*/*"):
        with contextlib.suppress(IntegrityError):
            store.verify(Digest(path.parent.name + path.name, path.stat().st_size))


def _stream(store: LocalStore) -> None:
    for path in (store.folder / "blobs").glob("*/*"):
        digest = Digest(path.parent.name + path.name, path.stat().st_size)
        with contextlib.suppress(IntegrityError), store.open(digest) as file:
            file.read()


@pytest.mark.parametrize("remove", [_sweep, _verify, _read, _check, _stream, LocalStore.empty])
def test_nothing_is_known_after_a_removal(
    store: LocalStore, remove: Callable[[LocalStore], None]
) -> None:
    blob = store.path(store.write(b"blob"))
    blob.chmod(0o600)
    blob.write_bytes(b"BLOB")
    Whole(store.folder).add([ONE], store.scratch)

    remove(store)

    assert not blob.exists()
    assert ONE not in Whole(store.folder)


def test_what_was_found_before_a_removal_is_not_known_after_it(store: LocalStore) -> None:
    before = Whole(store.folder)
    whole.removing(store.folder)

    before.add([ONE], store.scratch)

    assert ONE not in Whole(store.folder)


def test_nothing_is_known_after_the_machine_has_started_again(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Whole(store.folder).add([ONE], store.scratch)
    (tmp_path / "boot").write_text("another\n")
    monkeypatch.setattr(whole, "_BOOT", str(tmp_path / "boot"))

    assert ONE not in Whole(store.folder)


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"\n\n", b"head\n" + b"0" * 1000])
def test_a_damaged_file_tells_nothing(store: LocalStore, data: bytes) -> None:
    (store.folder / whole.FILE).write_bytes(data)

    assert ONE not in Whole(store.folder)
