"""The SDK of ORAS, a client that knows nothing of lamina, reads what is pushed, and pushes too."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from oras.client import OrasClient as Client

from lamina.core.digest import Digest
from lamina.formats import squashfs, xar
from tests import servers

Lamina = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[servers.Registry]:
    with servers.registry(tmp_path / "registry") as running:
        yield running


@pytest.fixture
def client(registry: servers.Registry) -> Client:
    return Client(hostname=registry.host, insecure=True)


def ran(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def pulled(client: Client, reference: str, to: Path) -> tuple[dict[str, Any], list[Path]]:
    """The manifest, and the files that it is pulled as, each compared with its digest."""
    manifest = client.get_manifest(reference)
    to.mkdir()
    files = [Path(path) for path in client.pull(reference, outdir=str(to))]
    assert [Digest.of(file.read_bytes()).oci for file in files] == [
        layer["digest"] for layer in manifest["layers"]
    ]
    return manifest, files


def test_a_package_is_pulled_as_one_file_for_each_layer(
    lamina: Lamina, article: Path, registry: servers.Registry, client: Client, tmp_path: Path
) -> None:
    ran(lamina(article, "push", "//:A", f"{registry.host}/a:v1"))

    manifest, files = pulled(client, f"{registry.host}/a:v1", tmp_path / "pulled")

    assert "v1" in client.get_tags(f"{registry.host}/a")
    assert manifest["artifactType"] == "application/vnd.lamina.package.v1"
    assert [file.name.partition("-")[0] for file in files] == [
        "F", "D", "B", "E", "native", "C", "A",
    ]  # fmt: skip
    for file in files:
        data = file.read_bytes()
        superblock = squashfs.parse(data[xar.decode(data).offset :])
        assert superblock.bytes_used <= len(data)
    ran(lamina(article, "exec", f"{registry.host}/a:v1"))


def test_an_image_is_pulled_as_the_files_of_its_layers(
    lamina: Lamina, article: Path, registry: servers.Registry, client: Client, tmp_path: Path
) -> None:
    place = f"{registry.host}/image:v1"
    ran(lamina(article, "push", "--format", "oci", "//:A", place))

    layers = client.get_manifest(place)["layers"]
    blobs = [client.get_blob(place, layer["digest"]).content for layer in layers]
    client.pull(place, outdir=str(tmp_path / "root"))  # it unpacks what is tar+gzip

    assert [Digest.of(blob).oci for blob in blobs] == [layer["digest"] for layer in layers]
    assert len(blobs) == 7
    source = (article / "A.py").read_bytes()
    assert (tmp_path / "root/packages/A/A.py").read_bytes() == source


def test_a_signature_is_where_oras_looks_for_it(
    lamina: Lamina, article: Path, registry: servers.Registry, client: Client
) -> None:
    ran(lamina(article, "sign", "--generate-key", "key"))
    ran(lamina(article, "package", "//:A"))
    ran(lamina(article, "sign", "A", "--key", "key.key"))
    ran(lamina(article, "push", "A", f"{registry.host}/a:v1"))

    digest = json.loads(ran(lamina(article, "inspect", "--json", f"{registry.host}/a:v1")))[
        "digest"
    ]
    tags = client.get_tags(f"{registry.host}/a")
    index = client.get_manifest(f"{registry.host}/a:{digest.replace(':', '-')}")

    assert digest.replace(":", "-") in tags
    assert index["manifests"]


def test_an_artifact_of_others_is_no_package_and_is_copied_as_it_is(
    lamina: Lamina, article: Path, registry: servers.Registry, client: Client, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("theirs")
    client.push(
        f"{registry.host}/notes:v1",
        files=[str(tmp_path / "notes.txt")],
        disable_path_validation=True,
    )

    refused = lamina(article, "exec", f"{registry.host}/notes:v1")
    ran(lamina(article, "copy", f"{registry.host}/notes:v1", f"{registry.host}/kept:v2"))

    assert refused.returncode == 125
    assert refused.stderr.startswith("error: ")
    assert "Traceback" not in refused.stderr
    assert ran(lamina(article, "tags", f"{registry.host}/kept")).split() == ["v2"]
    _, (file,) = pulled(client, f"{registry.host}/kept:v2", tmp_path / "kept")
    assert file.read_text() == "theirs"
