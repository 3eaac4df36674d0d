"""Packages as OCI image manifests, and back.

Specification: github.com/opencontainers/image-spec, manifest.md. The manifest's `config` blob holds
what only lamina knows; both are written as JSON with sorted keys and no white space, so that one
package has one digest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TypeVar

from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError
from lamina.core.manifest import (
    EXTENSIONS,
    Image,
    ImageLayer,
    Layer,
    Package,
    Step,
    is_version,
)
from lamina.core.tree import check_path

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
PACKAGE = "application/vnd.lamina.package.v1"
CONFIG = "application/vnd.lamina.config.v1+json"

_TITLE = "org.opencontainers.image.title"
_VERSION = "org.opencontainers.image.version"
_REVISION = "org.opencontainers.image.revision"

T = TypeVar("T")


def encode_config(package: Package) -> bytes:
    """The config blob: everything about a package that the manifest has no field for."""
    seldom: dict[str, object] = {}
    if package.base_layers:
        seldom |= {"baseLayers": package.base_layers, "image": _image(package.image)}
    if package.program:
        seldom["program"] = list(package.program)
    return _json(
        {
            **seldom,
            "base": package.base,
            "commit": package.commit,
            "dirty": package.dirty,
            "entryPoint": list(package.entry_point),
            "environment": dict(package.environment),
            "interpreter": package.interpreter,
            "label": package.label,
            "layers": [_detail(layer) for layer in package.layers],
            "name": package.name,
            "version": package.version,
        }
    )


def _image(image: Image) -> dict[str, object]:
    seldom: dict[str, object] = {"name": image.name, "digest": image.digest}
    seldom["layers"] = [
        {**_descriptor(layer.media_type, layer.blob), "diffId": layer.diff_id}
        for layer in image.layers
    ]
    seldom["history"] = [_step(step) for step in image.history]
    return {
        **{key: value for key, value in seldom.items() if value},
        "architecture": image.architecture,
        "command": list(image.command),
        "entryPoint": list(image.entry_point),
        "environment": list(image.environment),
        "folder": image.folder,
        "user": image.user,
    }


def _step(step: Step) -> dict[str, object]:
    found = {
        "author": step.author,
        "comment": step.comment,
        "created": step.created,
        "createdBy": step.created_by,
        "empty": step.empty,
    }
    return {key: value for key, value in found.items() if value}


def _detail(layer: Layer) -> dict[str, object]:
    found: dict[str, object] = {
        "contentSize": layer.content_size,
        "files": layer.files,
        "label": layer.label,
        "tree": {"digest": layer.tree.oci, "size": layer.tree.size},
    }
    return found | ({"labels": list(layer.labels)} if layer.labels else {})


def encode_manifest(package: Package) -> bytes:
    """The manifest; its digest names the package."""
    config = encode_config(package)
    annotations = {_TITLE: package.title, _VERSION: package.version}
    if package.commit:
        annotations[_REVISION] = package.commit
    return _json(
        {
            "annotations": annotations,
            "artifactType": PACKAGE,
            "config": _descriptor(CONFIG, Digest.of(config)),
            "layers": [
                _descriptor(layer.media_type, layer.blob, layer.title) for layer in package.layers
            ],
            "mediaType": MANIFEST,
            "schemaVersion": 2,
        }
    )


def config_of(manifest: bytes) -> Digest:
    """The digest of a package's config blob; raises IntegrityError for other manifests."""
    return _read(manifest, "package manifest", _config_digest)


def decode(manifest: bytes, config: bytes) -> Package:
    """A package from its two blobs; raises IntegrityError where they are malformed or disagree."""
    document = _read(manifest, "package manifest", lambda found: found)
    return _read(config, "package config", lambda found: _package(document, found))


def _config_digest(document: Mapping[str, object]) -> Digest:
    if document["artifactType"] != PACKAGE:
        raise IntegrityError(f"not a lamina package: artifact type `{document['artifactType']}`")
    return _digest(_mapping(document["config"]))


def _package(document: Mapping[str, object], config: Mapping[str, object]) -> Package:
    blobs = _list(document["layers"])
    details = _list(config["layers"])
    if len(blobs) != len(details):
        raise IntegrityError(f"a manifest of {len(blobs)} layers and a config of {len(details)}")
    environment = _mapping(config["environment"])
    base_layers = _base_layers(config, len(details))
    return Package(
        name=check_path(_text(config["name"])),  # name and version become paths
        version=_version(_text(config["version"])),
        label=_text(config["label"]),
        layers=tuple(map(_layer, blobs, details)),
        entry_point=tuple(_text(word) for word in _sequence(config["entryPoint"])),
        program=tuple(_text(word) for word in _sequence(config.get("program", []))),
        environment=tuple(sorted((key, _text(value)) for key, value in environment.items())),
        interpreter=_text(config["interpreter"]),
        base=_text(config["base"]),
        base_layers=base_layers,
        image=_read_image(_mapping(config.get("image", {})), base_layers),
        commit=_text(config["commit"]),
        dirty=_flag(config["dirty"]),
    )


def _base_layers(config: Mapping[str, object], layers: int) -> int:
    count = _number(config.get("baseLayers", 0))
    if count > layers:
        raise ValueError(f"{count} layers of a base image among {layers}")
    return count


def _read_image(found: Mapping[str, object], base_layers: int) -> Image:
    if not found:
        return Image()
    layers = tuple(map(_image_layer, _list(found.get("layers", []))))
    if layers and len(layers) != base_layers:  # an older lamina wrote none
        raise ValueError(f"an image of {len(layers)} layers below as {base_layers} layers")
    digest = _text(found.get("digest", ""))
    return Image(
        architecture=_text(found["architecture"]),
        environment=tuple(map(_text, _sequence(found["environment"]))),
        entry_point=tuple(map(_text, _sequence(found["entryPoint"]))),
        command=tuple(map(_text, _sequence(found["command"]))),
        folder=_text(found["folder"]),
        user=_text(found["user"]),
        layers=layers,
        history=tuple(map(_read_step, _list(found.get("history", [])))),
        name=_text(found.get("name", "")),
        digest=Digest.from_oci(f"sha256:{digest}", 0).hash if digest else "",
    )


def _image_layer(found: Mapping[str, object]) -> ImageLayer:
    diff_id = Digest.from_oci(f"sha256:{_text(found['diffId'])}", 0).hash
    return ImageLayer(_digest(found), diff_id, _text(found["mediaType"]))


def _read_step(found: Mapping[str, object]) -> Step:
    return Step(
        created=_text(found.get("created", "")),
        created_by=_text(found.get("createdBy", "")),
        author=_text(found.get("author", "")),
        comment=_text(found.get("comment", "")),
        empty=_flag(found.get("empty", False)),
    )


def _layer(blob: Mapping[str, object], detail: Mapping[str, object]) -> Layer:
    media_type = _text(blob["mediaType"])
    if media_type not in EXTENSIONS:
        raise IntegrityError(
            f"a layer has the unknown form `{media_type}`", hint="use a newer lamina"
        )
    return Layer(
        label=_text(detail["label"]),
        tree=_digest(_mapping(detail["tree"])),
        blob=_digest(blob),
        media_type=media_type,
        files=_number(detail["files"]),
        content_size=_number(detail["contentSize"]),
        labels=tuple(_text(label) for label in _sequence(detail.get("labels", []))),
    )


def _descriptor(media_type: str, digest: Digest, title: str = "") -> dict[str, object]:
    found: dict[str, object] = {
        "digest": digest.oci,
        "mediaType": media_type,
        "size": digest.size,
    }
    if title:
        found["annotations"] = {_TITLE: title}
    return found


def _json(document: Mapping[str, object]) -> bytes:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def _read(data: bytes, what: str, use: Callable[[Mapping[str, object]], T]) -> T:
    try:
        return use(_mapping(json.loads(data)))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityError(f"not a {what}: {error!r}") from error


def _digest(descriptor: Mapping[str, object]) -> Digest:
    return Digest.from_oci(_text(descriptor["digest"]), _number(descriptor["size"]))


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise TypeError(f"an object is wanted, not {value!r:.40}")
    return value


def _sequence(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError(f"a list is wanted, not {value!r:.40}")
    return value


def _list(value: object) -> list[Mapping[str, object]]:
    return [_mapping(item) for item in _sequence(value)]


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a string is wanted, not {value!r:.40}")
    if "\0" in value:
        raise ValueError("a NUL in a text")
    value.encode()  # half a surrogate pair can be written in JSON, but is no text
    return value


def _version(text: str) -> str:
    if not is_version(text):
        raise ValueError(f"a version is wanted, not {text!r:.40}")
    return text


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"true or false is wanted, not {value!r:.40}")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(f"a size is wanted, not {value!r:.40}")
    return value
