"""Images in a real registry: what a push has to move."""

from __future__ import annotations

import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Run, call, need


class Registry:
    """A registry of this test alone."""

    def __init__(self, folder: Path, port: int) -> None:
        self.place = f"127.0.0.1:{port}"
        self._blobs = folder / "docker/registry/v2/blobs/sha256"

    def push(self, layout: Path, tag: str) -> None:
        image = f"docker://{self.place}/a:{tag}"
        words = ("--insecure-policy", "--dest-tls-verify=false", f"oci:{layout}:{tag}", image)
        call(need("skopeo"), "copy", *words)

    @property
    def blobs(self) -> set[str]:
        return {path.parent.name for path in self._blobs.glob("*/*/data")}


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    program = need("docker-registry")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = tmp_path / "registry.yml"
    storage = f"storage: {{filesystem: {{rootdirectory: {tmp_path}/registry}}}}"
    settings.write_text(f'version: 0.1\n{storage}\nhttp: {{addr: "127.0.0.1:{port}"}}\n')
    started = subprocess.Popen([program, "serve", settings], stdout=-3, stderr=-3)
    try:
        _await(f"http://127.0.0.1:{port}/v2/")
        yield Registry(tmp_path / "registry", port)
    finally:
        started.terminate()
        started.wait(30)


def _await(address: str) -> None:
    until = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < until
            time.sleep(0.05)
        else:
            return


def test_a_second_push_moves_the_changed_layer_and_what_lists_it(
    lamina: Run, article: Path, registry: Registry
) -> None:
    def pushed(version: str) -> set[str]:
        before = registry.blobs
        words = ("package", "//:A", "--format", "oci", "-o", str(article.parent))
        registry.push(Path(lamina(article, *words, "--version", version)), version)
        return registry.blobs - before

    first = pushed("v1")
    renamed = pushed("v2")
    (article / "B.py").write_text((article / "B.py").read_text() + "# edited\n")
    edited = pushed("v3")

    assert len(first) == 7 + 2
    assert len(renamed) == 2  # config and manifest
    assert len(edited) == 1 + 2


def test_a_signature_lies_beside_its_package_in_a_registry(
    lamina: Run, article: Path, registry: Registry
) -> None:
    place = f"{registry.place}/team/a"
    lamina(article, "sign", "--generate-key", "here")
    lamina(article, "sign", "--generate-key", "there")
    lamina(article, "package", "//:A")
    lamina(article, "sign", "A", "--key", "here.key")
    lamina(article, "push", "A", f"{place}:v1")
    lamina(article, "sign", f"{place}:v1", "--key", "there.key")
    lamina(article, "copy", f"{place}:v1", f"{registry.place}/team/mirror:v1")

    for reference in (f"{place}:v1", f"{registry.place}/team/mirror:v1"):
        told = lamina(article, "verify", reference, "--key", "here.pub", "--key", "there.pub")

        assert "(here.pub)" in told
        assert "(there.pub)" in told
    # The specification's tag for registries without the referrers API.
    digest = told.split("digest   ")[1].split()[0].replace(":", "-")
    raw = call(
        need("skopeo"), "inspect", "--raw", "--tls-verify=false", f"docker://{place}:{digest}"
    )
    assert raw.count("application/vnd.in-toto+json") == 2
