"""Documents of images: names, platforms, and that one image has one digest."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError
from lamina.formats import ociimage
from lamina.formats.ociimage import Base, Image, ImageLayer

SOME = Digest.of(b"some")
IMAGE = Image(
    (ImageLayer(SOME, "ab" * 32, ociimage.MEDIA_TYPES["gzip"], "//:A"),),
    ("/packages/A/A",),
    ("A=1",),
    {"b": "2", "a": "1"},
    "x86_64",
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


def test_what_is_written_of_an_image_is_read_of_a_base() -> None:
    config = ociimage.encode_config(IMAGE)
    manifest = ociimage.encode_manifest(IMAGE, Digest.of(config))

    found = ociimage.decode_base(manifest, config)

    (layer,) = found.layers
    assert (layer.blob, layer.diff, layer.media_type) == (
        SOME,
        "ab" * 32,
        ociimage.MEDIA_TYPES["gzip"],
    )
    assert (found.environment, found.settings) == (("A=1",), {"User": "7"})


def test_the_types_of_docker_are_those_of_oci() -> None:
    kind = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    manifest = {"layers": [{"mediaType": kind, "digest": SOME.oci, "size": SOME.size}]}
    config = {"rootfs": {"diff_ids": [SOME.oci]}}

    found = ociimage.decode_base(json.dumps(manifest).encode(), json.dumps(config).encode())

    assert found.layers[0].media_type == ociimage.MEDIA_TYPES["gzip"]
    assert found.environment == Base().environment


@pytest.mark.parametrize("config", [b"", b"[]", b"{}", b'{"rootfs": 1}', b'{"config": 3}'])
def test_a_malformed_config_is_refused(config: bytes) -> None:
    with pytest.raises(IntegrityError):
        ociimage.decode_base(b'{"layers": []}', config)
