"""What other people's programs push is read, and they read what is pushed here."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lamina.core.digest import Digest
from lamina.core.reference import parse
from lamina.formats import oci
from lamina.store.repositories import open_repository
from lamina.store.repository import Manifest, Repository
from lamina.store.transport import Access
from tests import servers

LAYER = b"a layer" * 5000


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> servers.Tls:
    return servers.make_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def registry(
    tmp_path_factory: pytest.TempPathFactory, tls: servers.Tls
) -> Iterator[servers.Registry]:
    with servers.registry(tmp_path_factory.mktemp("registry"), tls=tls) as running:
        yield running


def push(repository: Repository, tag: str) -> Manifest:
    config = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'
    for data in (config, LAYER):
        repository.push(Digest.of(data), data)
    document = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", config),
        "layers": [descriptor("application/vnd.example.layer", LAYER)],
    }
    found = Manifest(json.dumps(document).encode(), oci.MANIFEST)
    repository.put_manifest(found, tag)
    return found


def descriptor(kind: str, data: bytes) -> dict[str, object]:
    digest = Digest.of(data)
    return {"mediaType": kind, "digest": digest.oci, "size": digest.size}


def skopeo(tls: servers.Tls, *words: str) -> str:
    command = [servers.need("skopeo"), "--insecure-policy", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_skopeo_reads_what_is_pushed_and_its_pushes_are_read(
    registry: servers.Registry, tls: servers.Tls, tmp_path: Path
) -> None:
    (tmp_path / "ca").mkdir()
    (tmp_path / "ca" / "ca.crt").write_bytes(tls.ca.read_bytes())
    ca = str(tmp_path / "ca")
    pushed = open_repository(parse(f"{registry.host}/ours"), Access(ca=tls.ca))
    found = push(pushed, "v1")
    pushed.close()

    source, target = f"docker://{registry.host}/ours:v1", f"docker://{registry.host}/theirs:v2"
    raw = skopeo(tls, "inspect", "--raw", "--cert-dir", ca, source)
    folder = f"oci:{tmp_path}/layout:v1"
    skopeo(tls, "copy", "--preserve-digests", "--src-cert-dir", ca, source, folder)
    skopeo(tls, "copy", "--preserve-digests", "--dest-cert-dir", ca, folder, target)

    assert raw.encode() == found.data
    for place, tag in ((f"oci:{tmp_path}/layout", "v1"), (f"{registry.host}/theirs", "v2")):
        read = open_repository(parse(place), Access(ca=tls.ca))
        assert read.manifest(tag) == found
        assert read.read(Digest.of(LAYER)) == LAYER
        read.close()


def test_skopeo_reads_a_folder_of_ours(tls: servers.Tls, tmp_path: Path) -> None:
    repository = open_repository(parse(f"oci:{tmp_path}/layout"), Access())
    first, second = push(repository, "v1"), push(repository, "v2")

    assert first == second
    for tag in ("v1", "v2"):
        words = ("inspect", "--raw", f"oci:{tmp_path}/layout:{tag}")
        assert skopeo(tls, *words).encode() == first.data
