"""Layers are compared with their names before they are mounted: once for each state of a file."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError
from lamina.core.manifest import Layer, Package
from lamina.store import packages, verified
from lamina.store.blobs import BlobMissing
from lamina.store.local import LocalStore

LONG_AGO = (1, 1)


def kept(store: LocalStore, data: bytes) -> Digest:
    """A blob whose file has not been touched for a while."""
    digest = store.write(data)
    os.utime(store.path(digest), LONG_AGO)
    return digest


def note(store: LocalStore, digest: Digest) -> Path:
    return store.folder / "verified" / digest.hash[:2] / digest.hash[2:]


def settle(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if some time had passed since the files were made."""
    monkeypatch.setattr("lamina.linux.filesystem._SETTLED", -(10**12))


def damage(path: Path) -> None:
    """Other bytes of the same size, at the same time."""
    data = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    path.chmod(0o444)
    os.utime(path, LONG_AGO)


def test_a_blob_that_matches_is_noted_and_not_read_again(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(monkeypatch)
    digest = kept(store, b"right")

    assert verified.path(digest, store) == store.path(digest)
    assert note(store, digest).exists()
    monkeypatch.delattr(LocalStore, "verify")
    assert verified.path(digest, store).read_bytes() == b"right"


def test_a_blob_that_was_made_just_now_is_not_noted_yet(store: LocalStore) -> None:
    digest = store.write(b"right")
    os.utime(store.path(digest), (2**33, 2**33))

    verified.path(digest, store)

    assert not note(store, digest).exists()


@pytest.mark.parametrize("seen", [False, True])
def test_a_damaged_blob_is_refused_though_size_and_time_are_the_same(
    store: LocalStore, seen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(monkeypatch)
    digest = kept(store, b"right")
    if seen:
        verified.path(digest, store)
    damage(store.path(digest))

    with pytest.raises(IntegrityError, match="does not match its name"):
        verified.path(digest, store)

    with pytest.raises(BlobMissing):
        verified.path(digest, store)


def test_a_store_that_was_copied_is_compared_anew(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(monkeypatch)
    digest = kept(store, b"right")
    verified.path(digest, store)
    shutil.copytree(store.folder, tmp_path / "copy", copy_function=shutil.copy2)
    copy = LocalStore(tmp_path / "copy")
    damage(copy.path(digest))

    with pytest.raises(IntegrityError):
        verified.path(digest, copy)

    copy.close()
    assert verified.path(digest, store).read_bytes() == b"right"


def test_a_note_that_cannot_be_written_costs_only_time(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(monkeypatch)
    digest = kept(store, b"right")
    (store.folder / "verified").write_text("in the way")

    assert verified.path(digest, store).read_bytes() == b"right"


def test_the_layers_of_a_package_are_compared_before_they_are_handed_out(
    store: LocalStore,
) -> None:
    blobs = [kept(store, b"lower"), kept(store, b"upper")]
    layers = tuple(Layer(f"//:{blob.short}", blob, blob) for blob in blobs)
    package = Package("a", "1", "//:a", layers)
    assert packages.images(package, store) == [store.path(blob) for blob in blobs]

    damage(store.path(blobs[1]))

    with pytest.raises(IntegrityError, match=blobs[1].hash):
        packages.images(package, store)
