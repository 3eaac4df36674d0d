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
from lamina.core.manifest import EXTENSIONS, Image, Layer, Package, is_version
from lamina.core.tree import check_path

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
PACKAGE = "application/vnd.lamina.package.v1"
CONFIG = "application/vnd.lamina.config.v1+json"
LARGEST = 16 << 20  # bytes of either document; one of 20,000 layers has 8 MB

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
    return {
        "architecture": image.architecture,
        "command": list(image.command),
        "entryPoint": list(image.entry_point),
        "environment": list(image.environment),
        "folder": image.folder,
        "user": image.user,
    }


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
    document = _read(manifest, "package manifest", _known)
    return _read(config, "package config", lambda found: _package(document, found))


def _config_digest(document: Mapping[str, object]) -> Digest:
    return _digest(_mapping(_known(document)["config"]))


def _known(document: Mapping[str, object]) -> Mapping[str, object]:
    """The manifest itself, if it is one that this lamina knows."""
    kind = document["artifactType"]
    if kind != PACKAGE:
        raise IntegrityError(f"not a lamina package: artifact type {kind!r:.80}")
    config = _mapping(document["config"])
    for what, found, known in (
        ("a manifest", document["schemaVersion"], 2),
        ("a manifest", document.get("mediaType", MANIFEST), MANIFEST),
        ("a config", config["mediaType"], CONFIG),
    ):
        if found != known:
            raise IntegrityError(
                f"{what} of the unknown form {found!r:.80}", hint="use a newer lamina"
            )
    return document


def _package(document: Mapping[str, object], config: Mapping[str, object]) -> Package:
    blobs = _list(document["layers"])
    details = _list(config["layers"])
    if len(blobs) != len(details):
        raise IntegrityError(f"a manifest of {len(blobs)} layers and a config of {len(details)}")
    environment = _mapping(config["environment"])
    if not all(key and "=" not in key for key in map(_text, environment)):
        raise ValueError("a name of a variable without letters or with `=`")
    base_layers = _base_layers(config, len(details))
    return Package(
        name=check_path(_shown(config["name"])),  # name and version become paths
        version=_version(_text(config["version"])),
        label=_shown(config["label"]),
        layers=tuple(map(_layer, blobs, details)),
        entry_point=_entry_point(config["entryPoint"]),
        program=tuple(_text(word) for word in _sequence(config.get("program", []))),
        environment=tuple(sorted((key, _text(value)) for key, value in environment.items())),
        interpreter=_text(config["interpreter"]),
        base=_text(config["base"]),
        base_layers=base_layers,
        image=_read_image(_mapping(config["image"])) if base_layers else Image(),
        commit=_text(config["commit"]),
        dirty=_flag(config["dirty"]),
    )


def _base_layers(config: Mapping[str, object], layers: int) -> int:
    count = _number(config.get("baseLayers", 0))
    if count > layers:
        raise ValueError(f"{count} layers of a base image among {layers}")
    if not count and "image" in config:
        raise ValueError("a base image without layers")
    return count


def _entry_point(value: object) -> tuple[str, ...]:
    words = tuple(map(_text, _sequence(value)))
    if words:
        check_path(words[0])  # from the package root, which nothing of a package leads out of
    return words


def _read_image(found: Mapping[str, object]) -> Image:
    return Image(
        architecture=_text(found["architecture"]),
        environment=tuple(map(_text, _sequence(found["environment"]))),
        entry_point=tuple(map(_text, _sequence(found["entryPoint"]))),
        command=tuple(map(_text, _sequence(found["command"]))),
        folder=_text(found["folder"]),
        user=_text(found["user"]),
    )


def _layer(blob: Mapping[str, object], detail: Mapping[str, object]) -> Layer:
    media_type = _text(blob["mediaType"])
    if media_type not in EXTENSIONS:
        raise IntegrityError(
            f"a layer has the unknown form `{_shown(media_type)}`", hint="use a newer lamina"
        )
    return Layer(
        label=_shown(detail["label"]),
        tree=_digest(_mapping(detail["tree"])),
        blob=_digest(blob),
        media_type=media_type,
        files=_number(detail["files"]),
        content_size=_number(detail["contentSize"]),
        labels=tuple(_shown(label) for label in _sequence(detail.get("labels", []))),
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
    if len(data) > LARGEST:
        raise IntegrityError(f"not a {what}: it has {len(data)} bytes, more than {LARGEST}")
    try:
        found = json.loads(data, object_pairs_hook=_object, parse_constant=_no_number)
        return use(_mapping(found))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityError(f"not a {what}: {error!r:.200}") from error


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Of two values of one name, another reader might take the other one."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has two values of one name")
    return found


def _no_number(text: str) -> object:
    raise ValueError(f"{text} is no number in JSON")


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


def _shown(value: object) -> str:
    """A text that is shown to people: on a terminal, control characters would act."""
    text = _text(value)
    if not text.isprintable():
        raise ValueError(f"a control character in {text!r:.80}")
    return text


def _version(text: str) -> str:
    if not is_version(text):
        raise ValueError(f"a version is wanted, not {text!r:.40}")
    return text


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"true or false is wanted, not {value!r:.40}")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise TypeError(f"a size is wanted, not {value!r:.40}")
    return value
