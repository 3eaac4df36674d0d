"""Programs on a base image: a small one made here, of this machine's shell, run for real."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import lzma
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import servers

Lamina = Callable[..., subprocess.CompletedProcess[str]]


def _shell(root: Path) -> None:
    """This machine's `sh`, `bash` and `ls` with the libraries that they load."""
    for name in ("sh", "bash", "ls"):
        program = shutil.which(name)
        assert program is not None
        told = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        libraries = [word for word in told.split() if word.startswith("/")]
        for source, target in ((program, f"/bin/{name}"), *((each, each) for each in libraries)):
            place = root / target.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, place)


def _tar(folder: Path) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as made:
        made.add(folder, ".", filter=_plain)
    return out.getvalue()


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = info.mtime = 0
    return info


def _image(at: Path, *layers: bytes) -> None:
    """An OCI layout of some layers."""

    def blob(data: bytes, kind: str) -> dict[str, Any]:
        digits = hashlib.sha256(data).hexdigest()
        (at / "blobs/sha256").mkdir(parents=True, exist_ok=True)
        (at / "blobs/sha256" / digits).write_bytes(data)
        media_type = f"application/vnd.oci.image.{kind}"
        return {"digest": f"sha256:{digits}", "mediaType": media_type, "size": len(data)}

    ids = [f"sha256:{hashlib.sha256(gzip.decompress(each)).hexdigest()}" for each in layers]
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
        "config": {"Env": ["FROM=the image"], "WorkingDir": "/data"},
        "rootfs": {"diff_ids": ids},
    }
    manifest = {
        "config": blob(json.dumps(config).encode(), "config.v1+json"),
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "layers": [blob(each, "layer.v1.tar+gzip") for each in layers],
    }
    index = {"manifests": [blob(json.dumps(manifest).encode(), "manifest.v1+json")]}
    (at / "index.json").write_text(json.dumps(index))
    (at / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A script on an image of two layers: the upper one hides a file and what was in a folder."""
    lower, upper, root = tmp_path / "lower", tmp_path / "upper", tmp_path / "ws"
    _shell(lower)
    for name in ("kept", "gone", "folder/old"):
        (lower / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (lower / "data" / name).write_text(name)
    for name in (".wh.gone", "folder/.wh..wh..opq", "folder/new"):
        (upper / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (upper / "data" / name).write_text("")
    root.mkdir()
    _image(root / "image", _tar(lower), _tar(upper))
    (root / "lamina.toml").write_text("")
    (root / "show.sh").write_text(
        '#!/bin/sh\necho "$FROM"; pwd; ls . folder; ls /; ls /packages/*; echo "$0"\n'
    )
    (root / "BUILD").write_text(
        "base_image(name = 'base', srcs = glob(['image/**']))\n"
        "sh_binary(name = 'show', srcs = ['show.sh'], base_image = ':base')\n"
    )
    return root


def test_a_program_sees_the_image_and_its_package(workspace: Path, lamina: Lamina) -> None:
    done = lamina(workspace, "run", "-q", "//:show")

    lines = done.stdout.split("\n")
    assert done.returncode == 0, done.stderr
    assert lines[:2] == ["the image", "/data"]
    assert lines[2:7] == [".:", "folder", "kept", "", "folder:"]
    assert lines[7] == "new"
    top = set(lines[8 : lines.index("show")])
    assert top >= {"bin", "data", "dev", "packages", "proc", "sys", "tmp"}
    assert not top & {"home", "root", "usr/share"}
    assert lines[-2].startswith("/packages/show-")


@pytest.mark.skipif(os.geteuid() != 0, reason="a base image is mounted by root")
def test_a_package_tells_of_its_base_and_is_mounted_with_it(
    workspace: Path, lamina: Lamina, tmp_path: Path
) -> None:
    made = json.loads(lamina(workspace, "package", "//:show", "--json").stdout)
    assert [layer["label"] for layer in made["layers"]] == ["//:base", "//:base", "//:show"]
    at = tmp_path / "mounted"
    try:
        assert lamina(workspace, "mount", "//:show", str(at)).returncode == 0
        assert sorted(path.name for path in (at / "data").iterdir()) == ["folder", "kept"]
        assert [path.name for path in (at / "data/folder").iterdir()] == ["new"]
        (package,) = (at / "packages").iterdir()
        assert (package / "show.sh").exists()
    finally:
        assert lamina(workspace, "umount", str(at)).returncode == 0
    assert not at.exists()


@pytest.fixture
def written(workspace: Path, lamina: Lamina, tmp_path: Path) -> Callable[..., Path]:
    """`written()`: the image of the package as an OCI layout, written anew."""

    def write(*options: str) -> Path:
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        words = ("package", "//:show", "--format", "oci", "-o", str(tmp_path / "out"))
        done = lamina(workspace, *words, *options)
        assert done.returncode == 0, done.stderr
        assert "`--base` puts it on an image" not in done.stderr
        (layout,) = (tmp_path / "out").iterdir()
        return layout

    return write


def _documents(layout: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The manifest and the configuration of the one image in a layout."""

    def blob(descriptor: dict[str, str]) -> dict[str, Any]:
        path = layout / "blobs/sha256" / descriptor["digest"].partition(":")[2]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
        return dict(json.loads(path.read_bytes()))

    manifest = blob(json.loads((layout / "index.json").read_text())["manifests"][0])
    return manifest, blob(manifest["config"])


def test_an_image_of_it_has_the_layers_of_its_base_as_they_are(
    workspace: Path, written: Callable[..., Path]
) -> None:
    manifest, config = _documents(written())

    base, said = _documents(workspace / "image")
    assert manifest["layers"][:2] == base["layers"]
    assert len(manifest["layers"]) == 3
    assert config["rootfs"]["diff_ids"][:2] == said["rootfs"]["diff_ids"]
    assert "FROM=the image" in config["config"]["Env"]
    assert config["config"]["WorkingDir"] == "/data"
    assert len(config["history"]) == 3
    names = {path.name for path in (written() / "blobs/sha256").iterdir()}
    assert {each["digest"].partition(":")[2] for each in manifest["layers"]} < names


def test_layers_that_have_gone_from_the_store_are_taken_anew(
    workspace: Path, written: Callable[..., Path], tmp_path: Path
) -> None:
    first = _documents(written())
    for layer in first[0]["layers"][:2]:
        name = layer["digest"].partition(":")[2]
        (tmp_path / "store/blobs" / name[:2] / name[2:]).unlink()

    assert _documents(written()) == first


def test_another_base_goes_before_its_own(
    workspace: Path, written: Callable[..., Path], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    (other / "x").mkdir(parents=True)
    _image(tmp_path / "layout", _tar(other))

    manifest, _ = _documents(written("--base", str(tmp_path / "layout")))

    assert len(manifest["layers"]) == 2
    assert manifest["layers"][0] == _documents(tmp_path / "layout")[0]["layers"][0]


@pytest.mark.parametrize("packed", ["tar", "gz", "xz"])
def test_the_archive_of_a_root_file_system_is_a_layer(
    workspace: Path, lamina: Lamina, written: Callable[..., Path], packed: str
) -> None:
    plain = gzip.decompress(_tar(workspace.parent / "lower"))
    data = {"tar": plain, "gz": gzip.compress(plain), "xz": lzma.compress(plain, preset=0)}[packed]
    (workspace / "root").write_bytes(data)
    build = (workspace / "BUILD").read_text()
    (workspace / "BUILD").write_text(build.replace("srcs = glob(['image/**'])", "src = 'root'"))

    manifest, config = _documents(written())

    layer = manifest["layers"][0]
    assert config["rootfs"]["diff_ids"][0] == f"sha256:{hashlib.sha256(plain).hexdigest()}"
    kind = "application/vnd.oci.image.layer.v1.tar"
    assert layer["mediaType"] == (kind if packed == "tar" else f"{kind}+gzip")
    if packed != "xz":
        assert layer["digest"] == f"sha256:{hashlib.sha256(data).hexdigest()}"
    again, _ = _documents(written())
    assert again == manifest
    assert lamina(workspace, "run", "-q", "//:show").stdout.split("\n")[1] == "/"


def test_a_bill_of_materials_tells_what_the_base_holds(workspace: Path, lamina: Lamina) -> None:
    added = workspace.parent / "added"
    (added / "var/lib/dpkg").mkdir(parents=True)
    (added / "var/lib/dpkg/status").write_text(
        "Package: bash\nStatus: install ok installed\nVersion: 5.2\nArchitecture: amd64\n"
    )
    shutil.rmtree(workspace / "image")
    _image(workspace / "image", _tar(workspace.parent / "lower"), _tar(added))

    done = lamina(workspace, "sbom", "//:show", "--format", "cyclonedx")

    assert done.returncode == 0, done.stderr
    written = json.loads(done.stdout)
    parts = {part["name"]: part for part in written["components"]}
    manifest = json.loads((workspace / "image/index.json").read_text())["manifests"][0]["digest"]
    assert parts["base"]["purl"] == f"pkg:oci/base@{manifest}"
    assert parts["bash"]["purl"] == "pkg:deb/debian/bash@5.2?arch=amd64&distro=debian"
    needs = {entry["ref"]: entry.get("dependsOn", []) for entry in written["dependencies"]}
    assert needs["//:show"] == ["//:base"]
    assert needs["//:base"] == [parts["bash"]["bom-ref"]]


def test_an_image_may_lie_in_a_registry(workspace: Path, lamina: Lamina) -> None:
    with servers.registry(workspace.parent / "registry") as registry:
        copied = lamina(workspace, "copy", "oci:image", f"{registry.host}/base:v1", "--json")
        assert copied.returncode == 0, copied.stderr
        digest = json.loads(copied.stdout)["reference"].rpartition("@")[2]
        shutil.rmtree(workspace / "image")
        build = (workspace / "BUILD").read_text()
        named = build.replace(
            "srcs = glob(['image/**'])", f"image = '{registry.host}/base@{digest}'"
        )
        (workspace / "BUILD").write_text(named)
        done = lamina(workspace, "run", "-q", "//:show")

    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["the image", "/data"]
    # It is here now.
    assert lamina(workspace, "run", "-q", "//:show").stdout == done.stdout


def test_another_image_is_noticed(workspace: Path, lamina: Lamina) -> None:
    lamina(workspace, "run", "-q", "//:show")
    only = workspace.parent / "only"
    _shell(only)
    (only / "data/folder").mkdir(parents=True)
    shutil.rmtree(workspace / "image")
    _image(workspace / "image", _tar(only))

    done = lamina(workspace, "run", "-q", "//:show")

    assert done.stdout.split("\n")[2:5] == [".:", "folder", ""]


def test_a_layer_that_is_not_what_the_image_says_is_refused(
    workspace: Path, lamina: Lamina
) -> None:
    (blob,) = (
        path
        for path in (workspace / "image/blobs/sha256").iterdir()
        if b"diff_ids" in path.read_bytes()
    )
    config = blob.read_text()
    first = json.loads(config)["rootfs"]["diff_ids"][0]
    changed = config.replace(first, f"sha256:{'0' * 64}").encode()
    digits = hashlib.sha256(changed).hexdigest()
    (blob.parent / digits).write_bytes(changed)
    manifest = next(p for p in blob.parent.iterdir() if p.read_bytes().startswith(b'{"config"'))
    renewed = manifest.read_text().replace(blob.name, digits).encode()
    name = hashlib.sha256(renewed).hexdigest()
    (blob.parent / name).write_bytes(renewed)
    index = workspace / "image/index.json"
    index.write_text(index.read_text().replace(manifest.name, name))

    done = lamina(workspace, "package", "//:show")

    assert done.returncode == 4
    assert "`//:base`: ImageLayer" in done.stderr
    assert "not the one that the image's configuration names" in done.stderr
