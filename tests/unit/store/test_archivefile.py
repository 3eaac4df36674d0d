"""A repository in one file: written whole, read in place, and wrong ones told."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.core import reference
from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError, LaminaError, UserError
from lamina.formats import oci
from lamina.store.archivefile import ArchiveRepository
from lamina.store.repository import Manifest, NotThere, Rejected
from lamina.store.streams import Incoming

CONFIG, LAYER = b"{}", b"layer" * 300_000


def descriptor(kind: str, data: bytes) -> dict[str, object]:
    return {"mediaType": kind, "digest": Digest.of(data).oci, "size": len(data)}


def manifest() -> Manifest:
    document = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", CONFIG),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", LAYER)],
    }
    return Manifest(json.dumps(document).encode(), oci.MANIFEST)


def opened(path: Path) -> ArchiveRepository:
    return ArchiveRepository(reference.parse(f"oci-archive:{path}"))


def write(path: Path, tag: str = "v1") -> Manifest:
    repository = opened(path)
    for data in (CONFIG, LAYER):
        repository.push(Digest.of(data), data)
    found = manifest()
    repository.put_manifest(found, tag)
    repository.close()
    return found


def fetched(repository: ArchiveRepository, digest: Digest, begun: bytes = b"") -> bytes:
    file = io.BytesIO()
    incoming = Incoming(file, lambda _digest: None)
    if begun:
        incoming.write(begun)
    repository.fetch(digest, incoming)
    return file.getvalue()


def test_what_was_pushed_is_read_in_place(tmp_path: Path) -> None:
    written = write(tmp_path / "a.tar")
    repository = opened(tmp_path / "a.tar")

    assert repository.tags() == ["v1"]
    assert repository.manifest("v1").data == written.data
    assert repository.manifest(written.digest.oci).data == written.data
    assert repository.manifest("latest").data == written.data
    assert repository.read(Digest.of(CONFIG)) == CONFIG
    assert repository.find(Digest.of(LAYER).oci) == Digest.of(LAYER)
    assert fetched(repository, Digest.of(LAYER)) == LAYER
    assert fetched(repository, Digest.of(LAYER), LAYER[:70_000]) == LAYER
    with pytest.raises(NotThere):
        repository.read(Digest.of(b"other"))
    with pytest.raises(NotThere):
        repository.manifest("v2")


def test_one_content_is_one_archive(tmp_path: Path) -> None:
    write(tmp_path / "a.tar")
    write(tmp_path / "b.tar")

    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "b.tar"]


def test_a_manifest_needs_what_it_names(tmp_path: Path) -> None:
    repository = opened(tmp_path / "a.tar")
    repository.push(Digest.of(CONFIG), CONFIG)

    with pytest.raises(Rejected):
        repository.put_manifest(manifest(), "v1")
    with pytest.raises(IntegrityError):
        repository.push(Digest.of(LAYER), b"other")

    repository.close()
    assert not (tmp_path / "a.tar").exists()


def test_what_comes_after_the_tag_is_there_too(tmp_path: Path) -> None:
    repository = opened(tmp_path / "a.tar")
    for data in (CONFIG, LAYER):
        repository.push(Digest.of(data), data)
    top = manifest()
    repository.put_manifest(top, "v1")
    document = {**json.loads(top.data), "subject": descriptor(oci.MANIFEST, top.data)}
    signature = Manifest(json.dumps(document).encode(), oci.MANIFEST)
    repository.put_manifest(signature)
    repository.close()

    (found,) = opened(tmp_path / "a.tar").referrers(top.digest)
    assert found["digest"] == signature.digest.oci


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="no skopeo on this machine")
def test_skopeo_reads_it_and_we_read_skopeos(tmp_path: Path) -> None:
    written = write(tmp_path / "a.tar")
    words = ["skopeo", "--insecure-policy", "copy", "-q", "--preserve-digests"]

    subprocess.run(
        [*words, f"oci-archive:{tmp_path}/a.tar:v1", f"oci-archive:{tmp_path}/b.tar:v1"], check=True
    )

    repository = opened(tmp_path / "b.tar")
    assert repository.manifest("v1").data == written.data
    assert fetched(repository, Digest.of(LAYER)) == LAYER


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is no tar archive"),
        (b"\x1f\x8b" + bytes(600), "is compressed"),
        (b"x" * 600, "is no tar archive"),
    ],
)
def test_other_files_are_told(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "a.tar").write_bytes(data)

    with pytest.raises((IntegrityError, UserError), match=words):
        opened(tmp_path / "a.tar").tags()


def test_links_and_wrong_bytes_are_not_taken(tmp_path: Path) -> None:
    write(tmp_path / "a.tar")
    with (
        tarfile.open(tmp_path / "a.tar") as source,
        tarfile.open(tmp_path / "b.tar", "w") as target,
    ):
        for member in source:
            if member.name.endswith(Digest.of(CONFIG).hash):
                link = tarfile.TarInfo(member.name)
                link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
                target.addfile(link)
            elif member.name.endswith(Digest.of(LAYER).hash):
                target.addfile(member, io.BytesIO(bytes(len(LAYER))))
            else:
                target.addfile(member, source.extractfile(member))
    repository = opened(tmp_path / "b.tar")

    with pytest.raises(NotThere):
        repository.read(Digest.of(CONFIG))
    with pytest.raises(IntegrityError):
        fetched(repository, Digest.of(LAYER))


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 6000), flip=st.integers(0, 6000))
def test_a_damaged_archive_is_an_error(
    tmp_path_factory: pytest.TempPathFactory, cut: int, flip: int
) -> None:
    path = tmp_path_factory.mktemp("a") / "a.tar"
    repository = opened(path)
    for data in (CONFIG, LAYER[:10]):
        repository.push(Digest.of(data), data)
    document = json.loads(manifest().data)
    document["layers"] = [descriptor("application/x", LAYER[:10])]
    top = Manifest(json.dumps(document).encode(), oci.MANIFEST)
    repository.put_manifest(top, "v1")
    damaged = bytearray(path.read_bytes())
    damaged[flip % len(damaged)] ^= 0x55
    path.write_bytes(damaged[: len(damaged) - cut])

    try:
        found = opened(path)
        assert found.manifest("v1").data == top.data
        assert fetched(found, Digest.of(LAYER[:10])) == LAYER[:10]
    except LaminaError as error:
        assert error.message
