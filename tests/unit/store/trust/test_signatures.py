"""Signatures in the store and beside packages in a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lamina.core.digest import Digest
from lamina.core.reference import Reference
from lamina.formats import attestation, dsse
from lamina.formats.dsse import Envelope, Signature
from lamina.formats.oci import MANIFEST
from lamina.store import gc
from lamina.store.gc import Bounds
from lamina.store.layout import LayoutRepository
from lamina.store.local import LocalStore
from lamina.store.repository import Manifest
from lamina.store.trust import signatures
from lamina.store.trust.signatures import Signed


def manifest(name: str = "a") -> Manifest:
    return Manifest(json.dumps({"schemaVersion": 2, "layers": [], "n": name}).encode(), MANIFEST)


def signature(subject: Manifest, text: bytes = b"x") -> Signed:
    envelope = Envelope("text/plain", text, (Signature(b"s"),))
    return signatures.put(subject.digest, MANIFEST, dsse.encode(envelope))


def force(folder: Path, manifest: bytes) -> None:
    """Let a folder have a manifest that it would not take."""
    digest = Digest.of(manifest)
    (folder / "blobs/sha256" / digest.hash).write_bytes(manifest)
    index = json.loads((folder / "index.json").read_bytes())
    index["manifests"].append({"mediaType": MANIFEST, "digest": digest.oci, "size": digest.size})
    (folder / "index.json").write_text(json.dumps(index))


@pytest.fixture
def repository(tmp_path: Path) -> LayoutRepository:
    found = LayoutRepository(Reference("", str(tmp_path / "hub")))
    found.put_manifest(manifest(), "v1")
    return found


def test_what_is_kept_is_found(store: LocalStore) -> None:
    subject = manifest()
    both = [signature(subject), signature(subject, b"y")]

    signatures.keep(subject.digest, both, store)
    signatures.keep(subject.digest, both[:1], store)

    found = signatures.kept(subject.digest, store)
    assert sorted(found, key=repr) == sorted(both, key=repr)
    assert signatures.kept(manifest("b").digest, store) == []


@pytest.mark.parametrize("suffix", ["manifest", "envelope"])
def test_what_was_damaged_in_the_store_is_no_signature(store: LocalStore, suffix: str) -> None:
    subject = manifest()
    signatures.keep(subject.digest, [signature(subject), signature(subject, b"y")], store)
    folder = store.folder / signatures.FOLDER / subject.digest.hash
    path = sorted(folder.glob(f"*.{suffix}"))[0]

    path.write_bytes(path.read_bytes()[:-1])

    assert len(signatures.kept(subject.digest, store)) == 1
    path.unlink()
    assert len(signatures.kept(subject.digest, store)) == 1


def test_what_is_sent_is_fetched(repository: LayoutRepository) -> None:
    subject = manifest()
    both = [signature(subject), signature(subject, b"y")]

    assert signatures.send(both, repository) == 2
    assert signatures.send(both, repository) == 2  # once more changes nothing

    found = signatures.fetch(subject.digest, repository)
    assert (set(found.signatures), found.wrong) == (set(both), ())
    assert repository.manifest("latest") == subject  # signatures have no tag
    assert repository.tags() == ["v1"]


def test_other_referrers_are_passed_over(repository: LayoutRepository) -> None:
    document = json.loads(signature(manifest()).manifest) | {"artifactType": "text/x"}
    for data in (attestation.EMPTY, signature(manifest()).envelope):
        repository.push(Digest.of(data), data)
    repository.put_manifest(Manifest(json.dumps(document).encode(), MANIFEST))

    assert signatures.fetch(manifest().digest, repository) == signatures.Fetched((), ())


@pytest.mark.parametrize(
    "change",
    [
        {"layers": []},
        {"layers": [{"mediaType": dsse.MEDIA_TYPE, "digest": "sha256:" + "0" * 64, "size": 1}]},
        {"layers": [{"mediaType": dsse.MEDIA_TYPE, "digest": "sha256:../x", "size": 1}]},
    ],
)
def test_what_is_malformed_beside_it_is_told_and_the_rest_is_found(
    repository: LayoutRepository, tmp_path: Path, change: dict[str, Any]
) -> None:
    good = signature(manifest())
    signatures.send([good], repository)
    document = json.loads(good.manifest) | change
    force(tmp_path / "hub", json.dumps(document).encode())

    found = signatures.fetch(manifest().digest, repository)

    assert found.signatures == (good,)
    assert len(found.wrong) == 1


def test_a_flood_of_signatures_is_cut_off(repository: LayoutRepository) -> None:
    subject = manifest()
    many = [signature(subject, b"%d" % number) for number in range(signatures.MOST + 3)]
    signatures.send(many, repository)

    found = signatures.fetch(subject.digest, repository)

    assert len(found.signatures) == signatures.MOST
    assert "the others were not looked at" in found.wrong[0]


class Lying(LayoutRepository):
    """One that lists what is about another manifest."""

    def referrers(self, digest: Digest) -> list[dict[str, object]]:
        return super().referrers(manifest("b").digest)


def test_a_repository_that_lists_signatures_of_others_is_told(tmp_path: Path) -> None:
    repository = Lying(Reference("", str(tmp_path / "hub")))
    other = manifest("b")
    repository.put_manifest(other, "v1")
    signatures.send([signature(other)], repository)

    found = signatures.fetch(manifest().digest, repository)

    assert found.signatures == ()
    assert "a signature is about" in found.wrong[0]


def test_signatures_go_when_their_package_has_gone(store: LocalStore) -> None:
    here, gone = manifest(), manifest("b")
    store.write(here.data)
    for subject in (here, gone):
        signatures.keep(subject.digest, [signature(subject)], store)

    gc.sweep(store, Bounds())

    assert len(signatures.kept(here.digest, store)) == 1
    assert signatures.kept(gone.digest, store) == []


def test_the_empty_config_is_there_for_strict_registries(repository: LayoutRepository) -> None:
    signatures.send([signature(manifest())], repository)

    assert repository.missing([Digest.of(attestation.EMPTY)]) == set()
