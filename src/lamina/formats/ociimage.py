"""OCI images as we write them: configuration, manifest and layout, and what `docker load` wants.

Specification: github.com/opencontainers/image-spec: config.md, manifest.md, image-layout.md;
`manifest.json` is that of github.com/moby/docker-image-spec. JSON is written with sorted keys and
without white space, so that one image has one digest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from lamina.core.classes import dataclass, field
from lamina.core.digest import Digest
from lamina.core.manifest import ImageLayer, Step
from lamina.formats import strictjson
from lamina.formats.oci import MANIFEST

CONFIG = "application/vnd.oci.image.config.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
MEDIA_TYPES = {"gzip": f"{LAYER}+gzip", "zstd": f"{LAYER}+zstd", "none": LAYER}
LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'

_ALWAYS = "1970-01-01T00:00:00Z"  # when all is created
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DOCKERS = {  # the same under the names of Docker, which no manifest of OCI should have
    "application/vnd.docker.image.rootfs.diff.tar.gzip": MEDIA_TYPES["gzip"],
    "application/vnd.docker.image.rootfs.diff.tar": LAYER,
}
_NOT_IN_A_NAME = re.compile(r"[^a-z0-9]+")
_REFERENCE = "org.opencontainers.image.ref.name"
_CONTAINERD = "io.containerd.image.name"  # how containerd calls what it imports


@dataclass(frozen=True, slots=True)
class Image:
    """What an image is made of; layers bottom first, those of the base among them."""

    layers: tuple[ImageLayer, ...]
    entry_point: tuple[str, ...]
    environment: tuple[str, ...]  # each `NAME=value`
    labels: Mapping[str, str]  # annotations of the manifest too
    architecture: str  # `amd64`
    settings: Mapping[str, object] = field(default_factory=dict)  # `User` and the like, of a base
    steps: tuple[Step, ...] = ()  # how the lowest layers were made, where that is known


def encode_config(image: Image) -> bytes:
    """What a runtime reads: how to start it, and what the layers hold."""
    settings: dict[str, object] = {
        **image.settings,
        "Entrypoint": list(image.entry_point),
        "Env": list(image.environment),
    }
    settings["Labels"] = {**strictjson.mapping(settings.get("Labels", {})), **image.labels}
    told = sum(not step.empty for step in image.steps)
    history = [_step(step) for step in image.steps] + [
        {"comment": layer.origin, "created": _ALWAYS, "created_by": "lamina package"}
        for layer in image.layers[told:]
    ]
    return _json(
        {
            "architecture": image.architecture,
            "config": settings,
            "created": _ALWAYS,
            "history": history,
            "os": "linux",
            "rootfs": {
                "diff_ids": [f"sha256:{layer.diff_id}" for layer in image.layers],
                "type": "layers",
            },
        }
    )


def _step(step: Step) -> dict[str, object]:
    found = {
        "author": step.author,
        "comment": step.comment,
        "created": step.created,
        "created_by": step.created_by,
        "empty_layer": step.empty,
    }
    return {key: value for key, value in found.items() if value}


def encode_manifest(image: Image, config: Digest) -> bytes:
    """What is pushed and pulled: the config and the layers by digest."""
    return _json(
        {
            "annotations": dict(image.labels),
            "config": _descriptor(CONFIG, config),
            "layers": [
                _descriptor(_DOCKERS.get(layer.media_type, layer.media_type), layer.blob)
                for layer in image.layers
            ],
            "mediaType": MANIFEST,
            "schemaVersion": 2,
        }
    )


def encode_index(manifest: Digest, name: str, tag: str) -> bytes:
    """The `index.json` of a layout with one image."""
    annotations = {_REFERENCE: tag, _CONTAINERD: f"docker.io/library/{name}:{tag}"}
    entry = {**_descriptor(MANIFEST, manifest), "annotations": annotations}
    return _json({"manifests": [entry], "mediaType": INDEX, "schemaVersion": 2})


def encode_archive(image: Image, config: Digest, name: str, tag: str) -> bytes:
    """The `manifest.json` that `docker load` reads."""
    document = {
        "Config": place(config.hash),
        "Layers": [place(layer.blob.hash) for layer in image.layers],
        "RepoTags": [f"{name}:{tag}"],
    }
    return _json([document])


def place(hexadecimal: str) -> str:
    """Where a blob lies in a layout."""
    return f"blobs/sha256/{hexadecimal}"


def name_of(package: str) -> str:
    """A package's name as the name of a repository, which is in lower case."""
    parts = (_NOT_IN_A_NAME.sub("-", part.lower()).strip("-") for part in package.split("/"))
    return "/".join(part or "x" for part in parts)


def architecture(machine: str) -> str:
    """How images call what `uname -m` says."""
    return _MACHINES.get(machine, machine)


def _descriptor(media_type: str, digest: Digest) -> dict[str, object]:
    return {"digest": digest.oci, "mediaType": media_type, "size": digest.size}


def _json(document: Mapping[str, object] | Sequence[object]) -> bytes:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()
