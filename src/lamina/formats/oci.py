"""Packages as OCI image manifests, and back.

Specification: github.com/opencontainers/image-spec, manifest.md and image-index.md. The manifest's
`config` blob holds what only lamina knows; both are written as JSON with sorted keys and no white
space, so that one package has one digest.

A package of many layers is an index: of a manifest that has all but the layers, and of one for each
run of layers, bottom first. Where runs end depends on the labels of the layers alone. So an edit
changes the run that it touches and the index, and all others keep their digests.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
INDEX = "application/vnd.oci.image.index.v1+json"
PACKAGE = "application/vnd.lamina.package.v1"
CONFIG = "application/vnd.lamina.config.v1+json"

_TITLE = "org.opencontainers.image.title"
_VERSION = "org.opencontainers.image.version"
_REVISION = "org.opencontainers.image.revision"

_FLAT = 48  # layers that one manifest names
_RUN = 32  # layers of a run, about
_SHORTEST, _LONGEST = 8, 96
_PARTS = "layers"  # the version of what is no package, but a run of layers

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Document:
    """A manifest, an index or a config."""

    media_type: str
    data: bytes

    @property
    def digest(self) -> Digest:
        """What it is named by."""
        return Digest.of(self.data)

    @property
    def is_manifest(self) -> bool:
        """Whether a registry keeps it as a manifest, not as a blob."""
        return self.media_type in (MANIFEST, INDEX)


def documents(package: Package) -> list[Document]:
    """All documents of a package: each comes after those it names, and the last is the package."""
    if len(package.layers) <= _FLAT:
        return _flat(package)
    head = _flat(replace(package, layers=()))
    found, manifests = head, [head[-1]]
    for run in _runs(package.layers):
        part = Package(package.name, _PARTS, package.label, run)
        found = found + _flat(part)
        manifests.append(found[-1])
    return [*found, Document(INDEX, _index(package, manifests))]


def _flat(package: Package) -> list[Document]:
    return [
        Document(CONFIG, encode_config(package)),
        Document(MANIFEST, encode_manifest(package)),
    ]


def _runs(layers: Sequence[Layer]) -> Iterator[tuple[Layer, ...]]:
    """Cut layers into runs: mostly behind a layer whose label has a certain hash."""
    begin = 0
    for end, layer in enumerate(layers, 1):
        length = end - begin
        number = int.from_bytes(hashlib.sha256(layer.label.encode()).digest()[:4], "big")
        is_cut = length >= _SHORTEST and number % (_RUN - _SHORTEST) == 0
        if is_cut or length == _LONGEST:
            yield tuple(layers[begin:end])
            begin = end
    if begin < len(layers):
        yield tuple(layers[begin:])


def _index(package: Package, manifests: Sequence[Document]) -> bytes:
    return _json(
        {
            "annotations": _annotations(package),
            "artifactType": PACKAGE,
            "manifests": [_descriptor(each.media_type, each.digest) for each in manifests],
            "mediaType": INDEX,
            "schemaVersion": 2,
        }
    )


def children(manifest: bytes) -> list[tuple[str, Digest]]:
    """What a manifest or an index of anybody names: media types and digests, the config first.

    Raises IntegrityError where it is malformed.
    """
    return _read(manifest, "manifest", _children)


def _children(document: Mapping[str, object]) -> list[tuple[str, Digest]]:
    config = document.get("config")
    named = [_mapping(config)] if config is not None else []
    for field in ("layers", "manifests", "blobs"):
        named += _list(document.get(field, []))
    return [(_text(each["mediaType"]), _digest(each)) for each in named]


def is_package(manifest: bytes) -> bool:
    """Whether a manifest or an index says that it is a package."""
    return _read(manifest, "manifest", lambda found: found.get("artifactType") == PACKAGE)


def media_type(manifest: bytes) -> str:
    """What a manifest says that it is; one that does not say so is an OCI manifest or index."""

    def find(document: Mapping[str, object]) -> str:
        usual = INDEX if "manifests" in document else MANIFEST
        return _text(document.get("mediaType", usual))

    return _read(manifest, "manifest", find)


def subject(manifest: bytes) -> str | None:
    """The digest (`sha256:…`) of the manifest that one of anybody is about, if it is about one."""
    try:
        found = json.loads(manifest).get("subject")
        return str(found["digest"]) if isinstance(found, dict) else None
    except (ValueError, KeyError, AttributeError, RecursionError):
        return None


def decode_package(root: bytes, read: Callable[[Digest], bytes]) -> Package:
    """A package from its last document, and from the others, which are read by their digests.

    Raises IntegrityError where they are malformed or disagree, and whatever `read` raises.
    """
    document = _read(root, "package manifest", lambda found: found)
    if "manifests" not in document:
        return decode(root, read(config_of(root)))
    parts = _read(root, "package index", _index_parts)
    manifests = [read(part) for part in parts]
    found = [_part(each, read(config_of(each))) for each in manifests]
    head, *runs = found
    layers = tuple(layer for run in runs for layer in run.layers)
    if head.layers or head.base_layers > len(layers):
        raise IntegrityError("not a package index: its first manifest is not what it should be")
    return replace(head, layers=layers)


def _index_parts(document: Mapping[str, object]) -> list[Digest]:
    if document["artifactType"] != PACKAGE:
        raise IntegrityError(f"not a lamina package: artifact type `{document['artifactType']}`")
    parts = _list(document["manifests"])
    if not parts or any(part["mediaType"] != MANIFEST for part in parts):
        raise ValueError("an index of no manifests, or of something else")
    return [_digest(part) for part in parts]


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
    return _json(
        {
            "annotations": _annotations(package),
            "artifactType": PACKAGE,
            "config": _descriptor(CONFIG, Digest.of(config)),
            "layers": [
                _descriptor(layer.media_type, layer.blob, layer.title) for layer in package.layers
            ],
            "mediaType": MANIFEST,
            "schemaVersion": 2,
        }
    )


def _annotations(package: Package) -> dict[str, str]:
    revision = {_REVISION: package.commit} if package.commit else {}
    return {_TITLE: package.title, _VERSION: package.version} | revision


def config_of(manifest: bytes) -> Digest:
    """The digest of a package's config blob; raises IntegrityError for other manifests."""
    return _read(manifest, "package manifest", _config_digest)


def decode(manifest: bytes, config: bytes) -> Package:
    """A package from its two blobs; raises IntegrityError where they are malformed or disagree."""
    found = _part(manifest, config)
    if found.base_layers > len(found.layers):
        count = len(found.layers)
        raise IntegrityError(f"{found.base_layers} layers of a base image among {count}")
    return found


def _part(manifest: bytes, config: bytes) -> Package:
    """A package, or what an index names of one."""
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
    base_layers = _number(config.get("baseLayers", 0))
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
