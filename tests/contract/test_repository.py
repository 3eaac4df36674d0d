"""What every repository of packages promises, in one text for all of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError
from lamina.core.reference import Reference, parse
from lamina.formats import oci
from lamina.store.local import LocalStore
from lamina.store.repositories import open_repository
from lamina.store.repository import Manifest, NotThere, Rejected, Repository
from lamina.store.transport import Access
from tests import servers

BIG = bytes(range(256)) * 80_000  # 20 MB: more than one piece of an upload


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Registry]:
    with servers.registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(params=["layout", "registry"])
def reference(request: pytest.FixtureRequest, tmp_path: Path) -> Reference:
    if request.param == "layout":
        return parse(f"oci:{tmp_path}/layout")
    running: servers.Registry = request.getfixturevalue("registry")
    name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name.lower())
    return parse(f"{running.host}/tests/{name.strip('-')}")


@pytest.fixture
def repository(reference: Reference) -> Iterator[Repository]:
    opened = open_repository(reference, Access())
    yield opened
    opened.close()


def manifest(*blobs: Digest, subject: Manifest | None = None, kind: str = "") -> Manifest:
    """A manifest of some blobs, the first of which is its configuration."""
    document: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": descriptor("application/vnd.example.config+json", blobs[0]),
        "layers": [descriptor("application/vnd.example.layer", each) for each in blobs[1:]],
    }
    if subject is not None:
        document["subject"] = descriptor(subject.media_type, subject.digest)
    if kind:
        document["artifactType"] = kind
    return Manifest(json.dumps(document).encode(), oci.MANIFEST)


def descriptor(kind: str, digest: Digest) -> dict[str, object]:
    return {"mediaType": kind, "digest": digest.oci, "size": digest.size}


def kept(repository: Repository, data: bytes) -> Digest:
    digest = Digest.of(data)
    repository.push(digest, data)
    return digest


@pytest.mark.parametrize("data", [b"", b"{}", BIG], ids=["0", "2", "20M"])
def test_a_blob_that_is_pushed_reads_back(repository: Repository, data: bytes) -> None:
    digest = kept(repository, data)

    assert repository.read(digest) == data
    assert repository.missing([digest]) == set()


@pytest.mark.parametrize("data", [b"", b"{}", BIG], ids=["0", "2", "20M"])
def test_a_file_that_is_pushed_arrives_in_a_store(
    repository: Repository, tmp_path: Path, data: bytes
) -> None:
    (tmp_path / "file").write_bytes(data)
    digest, store = Digest.of(data), LocalStore(tmp_path / "store")
    repository.push(digest, tmp_path / "file")

    with store.incoming() as incoming:
        repository.fetch(digest, incoming)
        assert incoming.adopt() == digest

    assert store.read(digest) == data
    store.close()


def test_a_fetch_goes_on_after_what_has_arrived(repository: Repository, tmp_path: Path) -> None:
    digest, store = kept(repository, BIG), LocalStore(tmp_path / "store")

    with store.incoming() as incoming:
        incoming.write(BIG[:1_000_000])
        repository.fetch(digest, incoming)
        assert incoming.adopt() == digest
    store.close()


def test_a_fetch_of_what_is_there_already_changes_nothing(
    repository: Repository, tmp_path: Path
) -> None:
    digest, store = kept(repository, b"whole"), LocalStore(tmp_path / "store")

    with store.incoming() as incoming:
        incoming.write(b"whole")
        repository.fetch(digest, incoming)
        assert incoming.adopt() == digest
    store.close()


def test_a_blob_may_be_pushed_twice_and_by_many_at_once(repository: Repository) -> None:
    data = BIG[:300_000]
    with ThreadPoolExecutor(8) as pool:
        digests = set(pool.map(lambda _: kept(repository, data), range(16)))

    assert repository.read(digests.pop()) == data


def test_a_blob_that_is_not_what_it_is_called_is_not_kept(repository: Repository) -> None:
    called = Digest.of(b"right")

    with pytest.raises((IntegrityError, Rejected)):
        repository.push(called, b"wrong")

    assert repository.missing([called]) == {called}


def test_missing_tells_what_is_not_there_of_many(repository: Repository) -> None:
    here = {kept(repository, b"%d" % number) for number in range(10)}
    absent = {Digest.of(b"absent %d" % number) for number in range(40)}

    assert repository.missing([*here, *absent, *here]) == absent
    assert repository.missing([]) == set()


def test_what_is_not_there_is_named(repository: Repository, tmp_path: Path) -> None:
    absent, store = Digest.of(b"absent"), LocalStore(tmp_path / "store")
    repository.put_manifest(manifest(kept(repository, b"{}")), "here")

    with pytest.raises(NotThere, match="absent-tag") as caught:
        repository.manifest("absent-tag")
    assert caught.value.hint == f"`lamina tags {repository.reference.place}` lists what it has"
    with pytest.raises(NotThere, match=absent.hash[:12]):
        repository.manifest(absent.oci)
    with pytest.raises(NotThere, match=absent.hash[:12]):
        repository.read(absent)
    with store.incoming() as incoming, pytest.raises(NotThere, match=absent.hash[:12]):
        repository.fetch(absent, incoming)
    store.close()


def test_a_repository_that_is_not_there_has_nothing(repository: Repository) -> None:
    with pytest.raises(NotThere):
        repository.manifest("latest")
    with pytest.raises(NotThere, match="there is no ") as caught:
        repository.tags()
    assert caught.value.hint


def test_a_manifest_is_found_by_tag_and_by_digest(repository: Repository) -> None:
    put = manifest(kept(repository, b"{}"), kept(repository, b"layer"))
    repository.put_manifest(put, "v1")

    assert repository.manifest("v1") == put
    assert repository.manifest(put.digest.oci) == put


def test_a_manifest_without_a_tag_is_found_by_its_digest(repository: Repository) -> None:
    put = manifest(kept(repository, b"{}"))
    repository.put_manifest(put)

    assert repository.manifest(put.digest.oci) == put


def test_a_tag_moves_and_what_it_named_stays(repository: Repository) -> None:
    first, second = (manifest(kept(repository, b"%d" % number)) for number in (1, 2))
    repository.put_manifest(first, "latest")
    repository.put_manifest(second, "latest")

    assert repository.manifest("latest") == second
    assert repository.manifest(first.digest.oci) == first


def test_a_manifest_that_is_larger_than_allowed_is_refused(repository: Repository) -> None:
    put = manifest(kept(repository, b"{}"))
    repository.put_manifest(put, "v1")

    with pytest.raises(IntegrityError):
        repository.manifest("v1", limit=len(put.data) - 1)
    assert repository.manifest("v1", limit=len(put.data)) == put


def test_tags_are_sorted(repository: Repository) -> None:
    put = manifest(kept(repository, b"{}"))
    for tag in ("v10", "v2", "a", "Z"):
        repository.put_manifest(put, tag)

    assert repository.tags() == ["Z", "a", "v10", "v2"]


def test_what_goes_with_a_manifest_is_found(repository: Repository) -> None:
    config = kept(repository, b"{}")
    subject, other = manifest(config), manifest(config, kept(repository, b"other"))
    repository.put_manifest(subject, "v1")
    repository.put_manifest(other, "v2")
    beside = [manifest(config, subject=subject, kind=f"application/vnd.{n}") for n in "ab"]
    for each in beside:
        repository.put_manifest(each)
        repository.put_manifest(each)  # a second time adds nothing

    found = repository.referrers(subject.digest)

    assert {each["digest"] for each in found} == {each.digest.oci for each in beside}
    assert {each["artifactType"] for each in found} == {"application/vnd.a", "application/vnd.b"}
    assert len(found) == 2
    assert repository.referrers(other.digest) == []


def test_many_tags_are_put_at_once(reference: Reference) -> None:
    """Each with a repository opened anew, as by processes of their own."""

    def put(number: int) -> None:
        opened = open_repository(reference, Access())
        opened.put_manifest(
            manifest(kept(opened, b"{}"), kept(opened, b"%d" % number)), f"t{number}"
        )
        opened.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(24)))

    opened = open_repository(reference, Access())
    assert opened.tags() == sorted(f"t{number}" for number in range(24))
    opened.close()
