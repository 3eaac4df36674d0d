"""A store with another one behind it: blobs come when they are asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from lamina.core.digest import Digest
from lamina.store.blobs import BlobMissing
from lamina.store.local import LocalStore
from lamina.store.streams import Distant

A, B = b"a blob", b"another one"


class Far:
    """What lies behind, and how often it was asked."""

    def __init__(self, store: LocalStore, *blobs: bytes) -> None:
        self._store = store
        self.blobs = {Digest.of(data): data for data in blobs}
        self.asked: list[set[Digest]] = []

    def lacking(self, digests: Collection[Digest]) -> set[Digest]:
        return set(digests) - self.blobs.keys()

    def distant(self, digest: Digest) -> Distant:
        raise NotImplementedError

    def bring(self, digests: Collection[Digest]) -> None:
        self.asked.append(set(digests))
        for digest in digests:
            if digest in self.blobs:
                self._store.write(self.blobs[digest], durable=False)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    store = LocalStore(tmp_path / "store")
    yield store
    store.close()


def test_a_blob_comes_when_it_is_read_and_stays(store: LocalStore) -> None:
    store.upstream = far = Far(store, A)
    store.expect([Digest.of(A)])

    assert store.has(Digest.of(A))
    assert far.asked == []
    assert store.read(Digest.of(A)) == A
    assert store.path(Digest.of(A)).read_bytes() == A
    assert far.asked == [{Digest.of(A)}]


def test_an_executable_comes_too(store: LocalStore) -> None:
    store.upstream = Far(store, A)

    assert store.path(Digest.of(A), executable=True).read_bytes() == A


def test_several_come_at_once_and_what_is_here_is_not_asked_for(store: LocalStore) -> None:
    store.upstream = far = Far(store, A, B)
    held = store.hold(b"held")
    kept = store.write(b"kept")

    store.fetch([Digest.of(A), Digest.of(B), held, kept])

    assert far.asked == [{Digest.of(A), Digest.of(B)}]


def test_what_is_lost_there_is_missing_and_no_more_expected(store: LocalStore) -> None:
    store.upstream = Far(store)
    store.expect([Digest.of(A)])

    with pytest.raises(BlobMissing):
        store.path(Digest.of(A))
    assert not store.has(Digest.of(A))


def test_what_was_said_can_be_forgotten(store: LocalStore) -> None:
    store.upstream = Far(store, A)
    store.expect([Digest.of(A)])
    store.forget()

    assert store.missing([Digest.of(A)]) == {Digest.of(A)}


def test_without_one_nothing_is_fetched(store: LocalStore) -> None:
    store.fetch([Digest.of(A)])

    with pytest.raises(BlobMissing):
        store.read(Digest.of(A))


def test_what_lies_upstream_is_found_without_bringing_it(store: LocalStore) -> None:
    store.upstream = far = Far(store, A)
    kept = store.write(b"kept")

    store.look_up([Digest.of(A), Digest.of(B), kept])

    assert store.missing([Digest.of(A), Digest.of(B), kept]) == {Digest.of(B)}
    assert store.far([Digest.of(A), kept]) == {Digest.of(A)}
    assert far.asked == []
