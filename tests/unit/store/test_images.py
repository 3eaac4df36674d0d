"""Images as skopeo-like tools lay them out: OCI layouts, `docker save`, root file systems."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import lzma
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import zstandard

from lamina.core import reference
from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError, LaminaError, UserError
from lamina.core.manifest import Image, ImageLayer, Step
from lamina.core.tree import File, Node
from lamina.formats import ociimage
from lamina.formats.image import Choice
from lamina.store import images, repositories
from lamina.store.local import LocalStore
from lamina.store.repositories import open_repository
from lamina.store.repository import Manifest, NotThere
from lamina.store.transport import Access
from tests import servers

RUN = {"Env": ["PATH=/bin", "A=1"], "Cmd": ["sh"], "WorkingDir": "/srv", "User": "7"}
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"


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
        layers = [self.blob(layer, ociimage.LAYER) for layer in LAYERS]
        document = {"schemaVersion": 2, "config": self.blob(config, CONFIG), "layers": layers}
        return self.blob(document, MANIFEST, **more)

    def index(self, *images: dict[str, Any]) -> dict[str, bytes]:
        self.files["index.json"] = json.dumps({"manifests": images}).encode()
        return self.files


def in_store(files: Mapping[str, bytes], store: LocalStore) -> dict[str, Node]:
    return {path: File(store.write(data)) for path, data in files.items()}


def saved(history: Any = (), **more: Any) -> dict[str, bytes]:
    """What `docker save` writes."""
    ids = [f"sha256:{each}" for each in IDS]
    config = {"architecture": "amd64", "config": RUN, "rootfs": {"diff_ids": ids}}
    config["history"] = history
    image = {"Config": "c.json", "RepoTags": ["me/a:1"], "Layers": ["0/layer.tar", "1/layer.tar"]}
    return {
        "manifest.json": json.dumps([{**image, **more}]).encode(),
        "c.json": json.dumps(config).encode(),
        "0/layer.tar": LAYERS[0],
        "1/layer.tar": LAYERS[1],
    }


def check(found: Image) -> None:
    plain = ociimage.LAYER
    assert found.layers == tuple(
        ImageLayer(Digest.of(layer), each, plain) for layer, each in zip(LAYERS, IDS, strict=True)
    )
    assert found.environment == ("PATH=/bin", "A=1")
    assert (found.command, found.folder, found.user) == (("sh",), "/srv", "7")


def _zstd(data: bytes) -> bytes:
    return zstandard.compress(data)


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
    data = tar({"bin/sh": b"x"})

    def root(data: bytes) -> ImageLayer:
        (layer,) = images.read({"root.tar": File(store.write(data))}, AMD, store).layers
        assert layer.blob == Digest.of(data)
        return layer

    assert images.read({"x": File(store.write(data))}, AMD, store).architecture == "amd64"
    assert root(data).diff_id == hashlib.sha256(data).hexdigest()
    assert root(data).media_type == ociimage.LAYER
    assert root(gzip.compress(data)).media_type == ociimage.MEDIA_TYPES["gzip"]
    assert root(gzip.compress(data)).diff_id == ""
    assert root(lzma.compress(data)).media_type == ""  # images have no such layers


def test_the_image_for_the_machine_is_taken(store: LocalStore) -> None:
    layout = Layout()
    arm = layout.image("arm64", platform={"architecture": "arm64"})
    amd = layout.image("amd64", platform={"architecture": "amd64"})
    other = layout.blob({}, MANIFEST, platform={"architecture": "unknown"})
    tree = in_store(layout.index(layout.blob({"manifests": [arm, other, amd]}, INDEX)), store)

    assert images.read(tree, AMD, store).architecture == "amd64"
    assert images.read(tree, Choice("", "arm64"), store).architecture == "arm64"
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


def test_name_digest_and_history_are_kept(store: LocalStore) -> None:
    layout = Layout()
    key = "org.opencontainers.image.ref.name"
    told = layout.image(annotations={key: "1"})
    history = [
        {"created_by": "ADD a"},
        {"created_by": "ENV", "empty_layer": True},
        {"comment": "b"},
    ]

    found = images.read(in_store(layout.index(told), store), AMD, store)
    by_docker = images.read(in_store(saved(history=history), store), AMD, store)

    assert (found.name, f"sha256:{found.digest}", found.history) == ("1", told["digest"], ())
    assert (by_docker.name, by_docker.digest) == ("me/a:1", "")
    assert by_docker.history == (
        Step(created_by="ADD a"),
        Step(created_by="ENV", empty=True),
        Step(comment="b"),
    )


def test_an_image_lies_also_in_a_folder_or_file_of_the_machine(
    store: LocalStore, tmp_path: Path
) -> None:
    layout = Layout()
    for path, data in layout.index(layout.image()).items():
        (tmp_path / "image" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "image" / path).write_bytes(data)
    (tmp_path / "saved.tar").write_bytes(tar(saved()))

    found = images.at(tmp_path / "image", AMD, store)

    check(found)
    check(images.at(tmp_path / "saved.tar", AMD, store))
    assert store.read(found.layers[0].blob) == LAYERS[0]
    with pytest.raises(IntegrityError, match="it is no image"):
        images.at(tmp_path, AMD, store)


@pytest.mark.parametrize("name", ["../saved", "/etc/passwd"])
def test_no_name_leads_out_of_the_folder(store: LocalStore, tmp_path: Path, name: str) -> None:
    (tmp_path / "saved").write_bytes(saved()["c.json"])
    (tmp_path / "image").mkdir()
    for path, data in saved(Config=name).items():
        (tmp_path / "image" / path).parent.mkdir(exist_ok=True)
        (tmp_path / "image" / path).write_bytes(data)

    with pytest.raises(IntegrityError, match="leads out of the folder"):
        images.at(tmp_path / "image", AMD, store)


def test_an_image_of_a_registry_is_what_is_brought(store: LocalStore) -> None:
    layout = Layout()
    amd = layout.image("amd64", platform={"architecture": "amd64"})
    arm = layout.image("arm64", platform={"architecture": "arm64"})
    index = layout.blob({"manifests": [arm, amd]}, INDEX)
    asked: list[tuple[str, str]] = []

    def bring(reference: str, kind: str, digest: str, into: LocalStore) -> None:
        assert reference == f"host.example/a@{index['digest']}"
        asked.append((kind, digest))
        into.write(layout.files[ociimage.place(digest.partition(":")[2])])

    found = images.pulled(f"host.example/a@{index['digest']}", AMD, store, bring)

    check(found)
    assert (found.name, f"sha256:{found.digest}") == ("host.example/a", amd["digest"])
    assert asked[:2] == [("manifests", index["digest"]), ("manifests", amd["digest"])]
    assert [kind for kind, _ in asked[2:]] == ["blobs"] * 3
    asked.clear()
    assert images.pulled(f"host.example/a@{index['digest']}", AMD, store, bring) == found
    assert asked == []  # the store has all of it


def test_an_image_is_brought_from_a_real_registry(store: LocalStore, tmp_path: Path) -> None:
    layout = Layout()
    image = layout.image("amd64", platform={"architecture": "amd64", "os": "linux"})
    index = layout.blob({"schemaVersion": 2, "manifests": [image]}, INDEX)
    with servers.registry(tmp_path / "registry") as registry:
        place = reference.parse(f"{registry.host}/base")
        target = open_repository(place, Access())
        for data in layout.files.values():
            target.push(Digest.of(data), data)
        for each in (image, index):
            data = layout.files[ociimage.place(each["digest"].partition(":")[2])]
            target.put_manifest(Manifest(data, each["mediaType"]))
        target.close()
        found = images.pulled(f"{place}@{index['digest']}", AMD, store, repositories.bring)

    check(found)


def test_an_image_that_is_not_there_is_told(store: LocalStore, tmp_path: Path) -> None:
    with servers.registry(tmp_path / "registry") as registry, pytest.raises(NotThere):
        wanted = f"{registry.host}/a@sha256:{'0' * 64}"
        images.pulled(wanted, AMD, store, repositories.bring)


@pytest.mark.parametrize(("pack", "kind"), [(gzip.compress, "gzip"), (_zstd, "zstd")])
def test_layers_of_docker_save_may_be_compressed(
    store: LocalStore, pack: Callable[[bytes], bytes], kind: str
) -> None:
    files = {**saved(), "0/layer.tar": pack(LAYERS[0])}

    layer = images.read(in_store(files, store), AMD, store).layers[0]

    assert (layer.diff_id, layer.media_type) == (IDS[0], ociimage.MEDIA_TYPES[kind])


def test_images_for_other_systems_are_left_out(store: LocalStore) -> None:
    layout = Layout()
    windows = layout.image(platform={"architecture": "amd64", "os": "windows"})
    linux = layout.image(platform={"architecture": "amd64", "os": "linux"})
    index = layout.blob({"manifests": [windows, linux]}, INDEX)

    check(images.read(in_store(layout.index(index), store), AMD, store))


FAULTS: dict[str, tuple[dict[str, bytes], str]] = {
    "neither": ({"x": b"", "y": b""}, "it is no image"),
    "another machine": (Layout().index(), "no image for `amd64`"),
    "no layer": (saved(Layers=["0/layer.tar", "9/layer.tar"]), "the image has no `9/layer.tar`"),
    "too few": (saved(Layers=["0/layer.tar"]), "1 layers and 2 `diff_ids`"),
    "out of it": (saved(Config="../../etc/passwd"), "the image has no"),
    "a damaged layer": ({**saved(), "0/layer.tar": b"x"}, "does not match its digest"),
    "no digest": (Layout().index({"digest": f"sha256:{'../' * 21}x"}), "names a blob by"),
    "a text": (saved(Layers="01"), "the image has no"),
    "numbers": (saved(Layers=[0, 1]), "the image is malformed"),
    "half a letter": (saved(history=[{"created_by": "\ud800"}]), "the image is malformed"),
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
