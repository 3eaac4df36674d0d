"""Packages with a base image of their own, as images: the tools run them, and share the base."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import need
from .servers import PYTHON, Registry, Run, call
from .test_images import LAST_LINE, NETWORK, rootfs, written

SMALL = """
python_binary(name = "small", srcs = ["small.py"], base_image = ":base")
base_image(name = "base", srcs = glob(["base/**"]))
"""


@pytest.fixture
def layout(base: Path, folder: Path) -> Path:
    """The base as a registry has it: in OCI layout, with compressed layers."""
    made = folder / "base.oci"
    if not made.exists():
        call(need("skopeo"), "copy", "--insecure-policy", f"docker-archive:{base}", f"oci:{made}:1")
    return made


@pytest.fixture
def based(article: Path, layout: Path) -> Path:
    """The article's program and a script, both on that base."""
    build = (article / "BUILD").read_text()
    main = 'name = "A",\n    srcs'
    assert main in build
    on_base = build.replace(main, 'name = "A",\n    base_image = ":base",\n    srcs')
    (article / "BUILD").write_text(on_base + SMALL)
    (article / "small.py").write_text(
        "import os\nprint(os.environ['FROM_BASE'], os.environ['LAMINA_VERSION'])\n"
    )
    call("cp", "-r", layout, article / "base")
    return article


def manifest(place: str) -> dict[str, Any]:
    return dict(json.loads(call(need("skopeo"), "inspect", "--raw", place)))


@pytest.mark.parametrize("form", ["docker", "oci-archive"])
def test_docker_runs_two_packages_on_the_layers_of_one_base(
    lamina: Run, docker: Run, based: Path, layout: Path, form: str
) -> None:
    config = json.loads(call(need("skopeo"), "inspect", "--config", f"oci:{layout}:1"))

    docker("load", "-i", written(lamina, based, form))
    docker("load", "-i", written(lamina, based, form, target="//:small"))
    try:
        assert docker("run", *NETWORK, "a:v1").splitlines()[-1] == LAST_LINE
        assert docker("run", *NETWORK, "small:v1") == "yes v1\n"
        below = config["rootfs"]["diff_ids"]
        assert rootfs(docker, "a:v1")[: len(below)] == below
        assert rootfs(docker, "small:v1")[: len(below)] == below
        assert len(rootfs(docker, "a:v1")) == len(below) + 7
        run = json.loads(docker("image", "inspect", "a:v1"))[0]["Config"]
        assert (run["User"], run["Labels"]["kept"]) == ("7", "yes")
        assert run["ExposedPorts"] == {"80/tcp": {}}
        comments = docker("history", "--format", "{{.Comment}}", "a:v1").splitlines()
        assert comments[0] == "//:A"
        assert comments[-1] == config["history"][0].get("comment", "")
    finally:
        docker("rmi", "-f", "a:v1", "small:v1")


@pytest.mark.parametrize("form", ["docker", "oci-archive"])
def test_podman_runs_it(lamina: Run, podman: Run, based: Path, form: str) -> None:
    podman("load", "-i", written(lamina, based, form))

    limits = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
    words = podman("run", *NETWORK, *limits, "docker.io/library/a:v1")

    assert words.splitlines()[-1] == LAST_LINE


def test_a_registry_that_has_the_base_gets_the_rest_alone(
    lamina: Run, based: Path, layout: Path, registry: Registry
) -> None:
    registry.push(layout, "1")
    known = registry.blobs
    below = manifest(f"oci:{layout}:1")["layers"]

    image = written(lamina, based, "oci")
    registry.push(image, "v1")
    first = registry.blobs - known
    registry.push(written(lamina, based, "oci", target="//:small"), "v1")
    second = registry.blobs - known - first

    assert manifest(f"oci:{image}:v1")["layers"][: len(below)] == below
    assert len(first) == 7 + 2  # with config and manifest
    assert len(second) == 1 + 2


def test_umoci_unpacks_the_base_and_the_package(lamina: Run, based: Path, tmp_path: Path) -> None:
    image = written(lamina, based, "oci")

    call(need("umoci"), "unpack", "--image", f"{image}:v1", tmp_path / "bundle")

    root = tmp_path / "bundle/rootfs"
    assert (root / "usr/bin/dash").exists()
    assert (root / "packages/A/A.py").exists()
    config = json.loads((tmp_path / "bundle/config.json").read_bytes())
    assert "FROM_BASE=yes" in config["process"]["env"]


@pytest.mark.parametrize("packed", ["gzip", "xz", ""])
def test_a_root_file_system_is_a_base_as_well(
    lamina: Run, docker: Run, based: Path, small_root: Path, packed: str
) -> None:
    call("cp", small_root, based / "root.tar")
    name = "root.tar"
    if packed:
        call(need(packed), "-1", based / "root.tar")
        (only,) = based.glob("root.tar.*")
        name = only.name
    on_root = (based / "BUILD").read_text().replace('srcs = glob(["base/**"])', f'src = "{name}"')
    (based / "BUILD").write_text(on_root)

    docker("load", "-i", written(lamina, based, "docker"))

    assert docker("run", *NETWORK, "a:v1").splitlines()[-1] == LAST_LINE
    assert rootfs(docker, "a:v1")[0] == f"sha256:{call('sha256sum', small_root).split()[0]}"
    docker("rmi", "-f", "a:v1")


def test_what_docker_has_removed_is_gone_for_everybody(
    lamina: Run, docker: Run, based: Path, base: Path, tmp_path: Path
) -> None:
    docker("load", "-i", base)
    change = (
        "import os; os.makedirs('/data/folder'); open('/data/folder/old', 'w').close();"
        "open('/data/gone', 'w').close()",
        "import os, shutil; os.unlink('/data/gone'); shutil.rmtree('/data/folder');"
        "os.mkdir('/data/folder'); open('/data/folder/new', 'w').close()",
    )
    for number, program in enumerate(change, 1):
        words = ("--name", "changed", "--network", "host", "--user", "0", f"base:{number}")
        docker("run", *words, PYTHON.resolve(), "-c", program)
        docker("commit", "changed", f"base:{number + 1}")
        docker("rm", "changed")
    docker("save", "-o", based / "changed.tar", "base:3")
    (based / "BUILD").write_text(
        (based / "BUILD").read_text().replace('srcs = glob(["base/**"])', 'src = "changed.tar"')
    )
    (based / "small.py").write_text(
        "import os\nprint(os.listdir('/data'), os.listdir('/data/folder'))\n"
    )

    seen = lamina(based, "run", "-q", "//:small")
    docker("load", "-i", written(lamina, based, "docker", target="//:small"))

    assert seen == "['folder'] ['new']"
    assert docker("run", *NETWORK, "small:v1").strip() == seen
    docker("rmi", "-f", "small:v1", "base:1", "base:2", "base:3")
