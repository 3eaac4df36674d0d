"""Images as skopeo-like tools lay them out: OCI layouts, `docker save`, root file systems."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from typing import Any

import pytest

from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError, LaminaError, UserError
from lamina.core.tree import File, Node
from lamina.formats.image import Choice
from lamina.store import images
from lamina.store.local import LocalStore

RUN = {"Env": ["PATH=/bin", "A=1"], "Cmd": ["sh"], "WorkingDir": "/srv", "User": "7"}
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def tar(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    return out.getvalue()


LAYERS = (tar({"a": b"1"}), tar({"b": b"2"}))
IDS = tuple(hashlib.sha256(layer).hexdigest() for layer in LAYERS)


class Layout:
    """An OCI layout that grows."""

    def __init__(self) -> None:
        self.files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}

    def blob(self, data: bytes | Any, kind: str = "", **more: Any) -> dict[str, Any]:
        data = data if isinstance(data, bytes) else json.dumps(data).encode()
        digits = hashlib.sha256(data).hexdigest()
        self.files[f"blobs/sha256/{digits}"] = data
        return {"digest": f"sha256:{digits}", "size": len(data), "mediaType": kind, **more}

    def image(self, architecture: str = "amd64", **more: Any) -> dict[str, Any]:
        ids = [f"sha256:{each}" for each in IDS]
        config = {"architecture": architecture, "config": RUN, "rootfs": {"diff_ids": ids}}
        layers = [self.blob(layer) for layer in LAYERS]
        return self.blob({"config": self.blob(config), "layers": layers}, MANIFEST, **more)

    def index(self, *images: dict[str, Any]) -> dict[str, bytes]:
        self.files["index.json"] = json.dumps({"manifests": images}).encode()
        return self.files


def in_store(files: Mapping[str, bytes], store: LocalStore) -> dict[str, Node]:
    return {path: File(store.write(data)) for path, data in files.items()}


def saved(**more: Any) -> dict[str, bytes]:
    """What `docker save` writes."""
    config = {"architecture": "amd64", "config": RUN, "rootfs": {"diff_ids": list(IDS)}}
    image = {"Config": "c.json", "RepoTags": ["me/a:1"], "Layers": ["0/layer.tar", "1/layer.tar"]}
    return {
        "manifest.json": json.dumps([{**image, **more}]).encode(),
        "c.json": json.dumps(config).encode(),
        "0/layer.tar": LAYERS[0],
        "1/layer.tar": LAYERS[1],
    }


def check(found: images.Base) -> None:
    assert found.layers == tuple(zip(map(Digest.of, LAYERS), IDS, strict=True))
    assert found.config.environment == ("PATH=/bin", "A=1")
    assert (found.config.command, found.config.folder, found.config.user) == (("sh",), "/srv", "7")


AMD = Choice(architecture="amd64")


def test_a_layout_is_read_also_in_a_folder(store: LocalStore) -> None:
    layout = Layout()
    files = layout.index(layout.image())

    check(images.read(in_store(files, store), AMD, store))
    check(images.read(in_store({f"p/q/{k}": v for k, v in files.items()}, store), AMD, store))


def test_what_docker_saves_is_read_also_packed(store: LocalStore) -> None:
    check(images.read(in_store(saved(), store), AMD, store))
    check(images.read({"x.tar": File(store.write(tar(saved())))}, AMD, store))


def test_any_other_archive_is_a_root_file_system(store: LocalStore) -> None:
    digest = store.write(tar({"bin/sh": b"x"}))

    assert images.read({"root.tar": File(digest)}, AMD, store).layers == ((digest, ""),)


def test_the_image_for_the_machine_is_taken(store: LocalStore) -> None:
    layout = Layout()
    arm = layout.image("arm64", platform={"architecture": "arm64"})
    amd = layout.image("amd64", platform={"architecture": "amd64"})
    other = layout.blob({}, MANIFEST, platform={"architecture": "unknown"})
    tree = in_store(layout.index(layout.blob({"manifests": [arm, other, amd]}, INDEX)), store)

    assert images.read(tree, AMD, store).config.architecture == "amd64"
    assert images.read(tree, Choice("", "arm64"), store).config.architecture == "arm64"
    with pytest.raises(UserError, match="no image for `riscv64`"):
        images.read(tree, Choice("", "riscv64"), store)


def test_a_tag_says_which_of_several(store: LocalStore) -> None:
    layout = Layout()
    key = "org.opencontainers.image.ref.name"
    one, two = (layout.image(annotations={key: tag}) for tag in ("one", "reg/x:two"))
    tree = in_store(layout.index(one, two), store)

    check(images.read(tree, Choice("two", "amd64"), store))
    with pytest.raises(UserError, match="no image `three` in it"):
        images.read(tree, Choice("three", "amd64"), store)


FAULTS: dict[str, tuple[dict[str, bytes], str]] = {
    "neither": ({"x": b"", "y": b""}, "it is no image"),
    "another machine": (Layout().index(), "no image for `amd64`"),
    "no layer": (saved(Layers=["0/layer.tar", "9/layer.tar"]), "the image has no `9/layer.tar`"),
    "too few": (saved(Layers=["0/layer.tar"]), "1 layers and 2 `diff_ids`"),
    "out of it": (saved(Config="../../etc/passwd"), "the image has no"),
    "no list": ({**saved(), "manifest.json": b"7"}, "the image is malformed"),
    "no JSON": ({**saved(), "manifest.json": b"{"}, "the image is malformed"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_bad_image_is_told(store: LocalStore, name: str) -> None:
    files, words = FAULTS[name]

    with pytest.raises(LaminaError) as caught:
        images.read(in_store(files, store), AMD, store)

    assert words in caught.value.message


def test_a_blob_that_does_not_match_its_name_is_refused(store: LocalStore) -> None:
    layout = Layout()
    files = layout.index(layout.image())
    name = f"blobs/sha256/{IDS[0]}"

    with pytest.raises(IntegrityError, match="does not match its name"):
        images.read(in_store({**files, name: LAYERS[1]}, store), AMD, store)


def test_an_image_for_another_machine_is_told(store: LocalStore) -> None:
    layout = Layout()

    with pytest.raises(UserError, match="is for `arm64`, and not for `amd64`"):
        images.read(in_store(layout.index(layout.image("arm64")), store), AMD, store)
