"""Images in a real registry: what a push has to move."""

from __future__ import annotations

import json
from pathlib import Path

from . import servers
from .conftest import need
from .servers import Registry, Run
from .test_images import LAST_LINE, NETWORK


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


def test_docker_pulls_and_runs_what_was_pushed_as_an_image(
    lamina: Run, docker: Run, article: Path, base: Path, registry: Registry
) -> None:
    words = ("push", "--format", "oci", "--base", str(base), "--json", "//:A")
    place = f"{registry.place}/team/a"

    first = json.loads(lamina(article, *words, f"{place}:v1", "--version", "v1"))
    try:
        docker("pull", f"{place}:v1")
        assert docker("run", *NETWORK, f"{place}:v1").splitlines()[-1] == LAST_LINE
        (article / "A.py").write_text((article / "A.py").read_text() + "# edited\n")
        second = json.loads(lamina(article, *words, f"{place}:v2", "--version", "v2"))
        pulled = docker("pull", f"{place}:v2")
        assert docker("run", *NETWORK, f"{place}:v2").splitlines()[-1] == LAST_LINE
    finally:
        docker("rmi", "-f", f"{place}:v1", f"{place}:v2")

    assert first["blobs"] == 1 + 7 + 1
    assert second["blobs"] == 1 + 1
    assert pulled.count("Already exists") == 7


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
    raw = servers.call(
        need("skopeo"), "inspect", "--raw", "--tls-verify=false", f"docker://{place}:{digest}"
    )
    assert raw.count("application/vnd.in-toto+json") == 2
