"""Documents of images: names, platforms, and that one image has one digest."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.core.digest import Digest
from lamina.core.manifest import ImageLayer, Step
from lamina.formats import ociimage
from lamina.formats.ociimage import Image

SOME = Digest.of(b"some")
IMAGE = Image(
    (ImageLayer(SOME, "ab" * 32, ociimage.MEDIA_TYPES["gzip"], "//:A"),),
    ("/packages/A/A",),
    ("A=1",),
    {"b": "2", "a": "1"},
    "amd64",
    {"User": "7"},
)


@pytest.mark.parametrize(
    ("package", "name"),
    [("A", "a"), ("train/GPT_2", "train/gpt-2"), ("a/_", "a/x"), ("a--b/c.d", "a-b/c-d")],
)
def test_a_name_is_one_that_repositories_may_have(package: str, name: str) -> None:
    assert ociimage.name_of(package) == name


@given(st.text(min_size=1))
def test_every_name_of_a_repository_is_legal(text: str) -> None:
    parts = ociimage.name_of(text).split("/")

    assert all(part and part[0] != "-" and part[-1] != "-" for part in parts)
    assert all(char.isalnum() or char == "-" for part in parts for char in part)


def test_the_config_tells_platform_start_and_layers() -> None:
    found = json.loads(ociimage.encode_config(IMAGE))

    assert (found["os"], found["architecture"]) == ("linux", "amd64")
    assert found["created"] == "1970-01-01T00:00:00Z"
    assert found["config"] == {
        "Entrypoint": ["/packages/A/A"],
        "Env": ["A=1"],
        "Labels": {"a": "1", "b": "2"},
        "User": "7",
    }
    assert found["rootfs"] == {"type": "layers", "diff_ids": [f"sha256:{'ab' * 32}"]}
    assert [entry["comment"] for entry in found["history"]] == ["//:A"]


def test_the_history_of_a_base_comes_first() -> None:
    steps = (Step("2020-01-01T00:00:00Z", "ADD rootfs"), Step(created_by="ENV A=1", empty=True))
    layers = (ImageLayer(SOME, "cd" * 32, ociimage.LAYER), *IMAGE.layers)

    found = json.loads(ociimage.encode_config(replace(IMAGE, layers=layers, steps=steps)))

    assert found["history"][:2] == [
        {"created": "2020-01-01T00:00:00Z", "created_by": "ADD rootfs"},
        {"created_by": "ENV A=1", "empty_layer": True},
    ]
    assert [entry["comment"] for entry in found["history"][2:]] == ["//:A"]


def test_the_types_of_docker_are_those_of_oci() -> None:
    kind = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    image = replace(IMAGE, layers=(ImageLayer(SOME, "cd" * 32, kind),))

    (layer,) = json.loads(ociimage.encode_manifest(image, SOME))["layers"]

    assert layer == {
        "digest": SOME.oci, "mediaType": ociimage.MEDIA_TYPES["gzip"], "size": SOME.size,
    }  # fmt: skip
