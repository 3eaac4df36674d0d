"""What every blob store promises, in one text for all of them."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lamina.core.digest import EMPTY, Digest
from lamina.core.errors import IntegrityError
from lamina.store.blobs import BlobMissing, BlobStore, copy
from lamina.store.local import LocalStore
from lamina.store.memory import MemoryStore
from lamina.store.remote.cas import Cas
from lamina.store.remote.service import Service
from lamina.store.remote.settings import Endpoint, Farm
from tests import farms

HELLO = Digest("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824", 5)


@pytest.fixture(params=["local", "memory", "farm"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlobStore]:
    if request.param == "memory":
        yield MemoryStore()
        return
    local = LocalStore(tmp_path / "store")
    if request.param == "farm":
        with _farm(tmp_path, local) as service:
            yield service.cas
    else:
        yield local
    local.close()


@contextlib.contextmanager
def _farm(folder: Path, store: LocalStore) -> Iterator[Service]:
    if os.geteuid():
        pytest.skip("buildbox-casd runs actions with the rights of root")
    try:
        with farms.casd(folder / "farm") as casd:
            service = Service(Farm(endpoint=Endpoint.parse(casd.url)), store)
            yield service
            service.stop()
    except farms.Absent as absent:
        pytest.skip(str(absent))


def test_a_blob_is_named_by_its_content_and_reads_back(store: BlobStore) -> None:
    assert store.write(b"hello") == HELLO
    assert store.read(HELLO) == b"hello"


@pytest.mark.parametrize("data", [b"", b"\0", bytes(range(256)) * 9999], ids=["0", "1", "2.5M"])
def test_a_blob_of_any_size_reads_back(store: BlobStore, data: bytes) -> None:
    digest = store.write(data)

    assert (digest.hash, digest.size) == (hashlib.sha256(data).hexdigest(), len(data))
    assert store.read(digest) == data


def test_writing_the_same_bytes_again_changes_nothing(store: BlobStore) -> None:
    assert store.write(b"hello") == store.write(b"hello")
    assert store.read(HELLO) == b"hello"


def test_a_new_store_lacks_every_blob_even_the_empty_one(store: BlobStore) -> None:
    always = {EMPTY} if isinstance(store, Cas) else set()  # which each farm has from the start

    assert store.missing([HELLO, EMPTY]) == {HELLO, EMPTY} - always


def test_missing_tells_what_is_not_there_each_once(store: BlobStore) -> None:
    here, absent = store.write(b"here"), Digest.of(b"absent")

    assert store.missing([absent, here, absent]) == {absent}
    assert store.missing([]) == set()


def test_a_read_of_an_absent_blob_names_the_blob(store: BlobStore) -> None:
    with pytest.raises(BlobMissing, match=HELLO.hash) as caught:
        store.read(HELLO)

    assert caught.value.digest == HELLO
    assert isinstance(caught.value, IntegrityError)


def test_a_digest_with_the_hash_of_a_blob_and_another_size_is_not_there(store: BlobStore) -> None:
    wrong = Digest(store.write(b"hello").hash, 6)

    if not isinstance(store, Cas):  # the farm of the tests looks at the hash alone
        assert store.missing([wrong]) == {wrong}
    with pytest.raises(IntegrityError):
        store.read(wrong)


def test_copy_moves_what_the_target_lacks_and_tells_which(store: BlobStore) -> None:
    source = MemoryStore()
    digests = [source.write(data) for data in (b"a", b"b", b"c")]
    store.write(b"b")

    assert copy(digests, source, store) == {digests[0], digests[2]}
    assert [store.read(digest) for digest in digests] == [b"a", b"b", b"c"]


def test_copy_serves_as_a_source_too(store: BlobStore) -> None:
    target = MemoryStore()
    digest = store.write(b"a")

    assert copy([digest], store, target) == {digest}
    assert copy([digest], store, target) == set()
    assert target.read(digest) == b"a"


def test_copy_of_what_the_source_lacks_names_it_and_asks_for_nothing_else(
    store: BlobStore,
) -> None:
    with pytest.raises(BlobMissing, match=HELLO.hash):
        copy([HELLO], store, MemoryStore())
