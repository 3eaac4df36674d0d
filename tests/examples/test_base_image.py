"""Programs on a base image: a small one made here, of this machine's shell, run for real."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a base image is mounted by root")
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

    import gzip

    ids = [f"sha256:{hashlib.sha256(gzip.decompress(each)).hexdigest()}" for each in layers]
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
        "config": {"Env": ["FROM=the image"], "WorkingDir": "/data"},
        "rootfs": {"diff_ids": ids},
    }
    manifest = {
        "config": blob(json.dumps(config).encode(), "config.v1+json"),
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


def test_an_image_of_it_is_put_on_the_same_base(
    workspace: Path, lamina: Lamina, tmp_path: Path
) -> None:
    words = ("package", "//:show", "--format", "oci", "-o", str(tmp_path / "out"))
    refused = lamina(workspace, *words)
    assert refused.returncode == 3
    assert refused.stderr.splitlines()[-2:] == [
        "error: `//:show` lies on the base image `//:base`, and the layers of that are not written"
        " into images yet",
        "hint: give the same image by `--base`",
    ]
    assert not (tmp_path / "out").exists()

    done = lamina(workspace, *words, "--base", "image")

    assert done.returncode == 0, done.stderr
    (layout,) = (tmp_path / "out").iterdir()
    names = {path.name for path in (layout / "blobs/sha256").iterdir()}
    assert names > {path.name for path in (workspace / "image/blobs/sha256").iterdir()} - {
        *_documents(workspace / "image")
    }


def _documents(layout: Path) -> list[str]:
    """The blobs of a layout that are no layers."""
    blobs = (layout / "blobs/sha256").iterdir()
    return [path.name for path in blobs if path.read_bytes()[:1] == b"{"]


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
