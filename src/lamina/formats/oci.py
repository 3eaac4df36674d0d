"""Packages as OCI image manifests, and back.

Specification: github.com/opencontainers/image-spec, manifest.md and image-index.md. The manifest's
`config` blob holds what only lamina knows; both are written as JSON with sorted keys and no white
space, so that one package has one digest.

A package of many layers is an index: of a manifest that has all but the layers, and of one for each
run of layers, bottom first. Where runs end depends on the labels of the layers alone. So an edit
changes the run that it touches and the index, and all others keep their digests.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Self

from lamina.core.classes import dataclass, replace
from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError
from lamina.core.manifest import EXTENSIONS, Image, Layer, Package, is_version
from lamina.core.tree import check_path
from lamina.formats import baseimage
from lamina.formats import strictjson as fields

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
PACKAGE = "application/vnd.lamina.package.v1"
CONFIG = "application/vnd.lamina.config.v1+json"
LARGEST = fields.LARGEST

_TITLE = "org.opencontainers.image.title"
_VERSION = "org.opencontainers.image.version"
_REVISION = "org.opencontainers.image.revision"

_FLAT = 48  # layers that one manifest names
_RUN = 32  # layers of a run, about
_SHORTEST, _LONGEST = 8, 96
_PARTS = "layers"  # the version of what is no package, but a run of layers


@dataclass(frozen=True, slots=True)
class Document:
    """A manifest, an index or a config."""

    media_type: str
    data: bytes
    digest: Digest  # what it is named by

    @classmethod
    def of(cls, media_type: str, data: bytes) -> Self:
        """The document, whose digest nobody knows yet."""
        return cls(media_type, data, Digest.of(data))

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
    return [*found, Document.of(INDEX, _index(package, manifests))]


def _flat(package: Package) -> list[Document]:
    config = encode_config(package)
    head = Document.of(CONFIG, config)
    return [head, Document.of(MANIFEST, _manifest(package, head.digest))]


def _runs(layers: Sequence[Layer]) -> Iterator[tuple[Layer, ...]]:
    """Cut layers into runs: mostly behind a layer whose label has a certain hash."""
    begin = 0
    for end, layer in enumerate(layers, 1):
        length = end - begin
        number = int(Digest.of(layer.label.encode()).hash[:8], 16)
        is_cut = length >= _SHORTEST and number % (_RUN - _SHORTEST) == 0
        if is_cut or length == _LONGEST:
            yield tuple(layers[begin:end])
            begin = end
    if begin < len(layers):
        yield tuple(layers[begin:])


def _index(package: Package, manifests: Sequence[Document]) -> bytes:
    return fields.write(
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
    return fields.read(manifest, "a manifest", _children)


def _children(document: Mapping[str, object]) -> list[tuple[str, Digest]]:
    config = document.get("config")
    named = [fields.mapping(config)] if config is not None else []
    for field in ("layers", "manifests", "blobs"):
        named += fields.mappings(document.get(field, []))
    return [(fields.text(each["mediaType"]), fields.digest(each)) for each in named]


def is_foreign(media_type: str) -> bool:
    """Whether what has this media type may lie elsewhere than in the repository."""
    return any(word in media_type for word in ("foreign", "nondistributable"))


def is_package(manifest: bytes) -> bool:
    """Whether a manifest or an index says that it is a package."""
    return fields.read(manifest, "a manifest", lambda found: found.get("artifactType") == PACKAGE)


def media_type(manifest: bytes) -> str:
    """What a manifest says that it is; one that does not say so is an OCI manifest or index."""

    def find(document: Mapping[str, object]) -> str:
        usual = INDEX if "manifests" in document else MANIFEST
        return fields.text(document.get("mediaType", usual))

    return fields.read(manifest, "a manifest", find)


def subject(manifest: bytes) -> str | None:
    """The digest (`sha256:…`) of the manifest that one of anybody is about, if it is about one."""
    try:
        found = json.loads(manifest).get("subject")
        return str(found["digest"]) if isinstance(found, dict) else None
    except (ValueError, KeyError, AttributeError, RecursionError):
        return None


def decode_head(root: bytes, read: Callable[[Digest], bytes]) -> Package:
    """A package without its layers: all but the last document of one that has many, and the first.

    Raises as `decode_package` does.
    """
    document = fields.read(root, "a package manifest", lambda found: found)
    if "manifests" in document:
        root = read(fields.read(root, "a package index", _index_parts)[0])
    return replace(_part(root, read(config_of(root))), layers=())


def check_run(manifest: bytes, config: bytes) -> None:
    """Raises IntegrityError for documents that are no run of layers, and no package."""
    _part(manifest, config)


def decode_package(
    root: bytes, read: Callable[[Digest], bytes], known: dict[Digest, Package] | None = None
) -> Package:
    """A package from its last document, and from the others, which are read by their digests.

    What an index names is put into `known`, and taken from there by the next call.
    Raises IntegrityError where they are malformed or disagree, and whatever `read` raises.
    """
    document = fields.read(root, "a package manifest", lambda found: found)
    if "manifests" not in document:
        return decode(root, read(config_of(root)))
    parts = fields.read(root, "a package index", _index_parts)
    known = {} if known is None else known
    for part in parts:
        if part not in known:
            manifest = read(part)
            known[part] = _part(manifest, read(config_of(manifest)))
    head, *runs = [known[part] for part in parts]
    layers = tuple(layer for run in runs for layer in run.layers)
    if head.layers or head.base_layers > len(layers):
        raise IntegrityError("not a package index: its first manifest is not what it should be")
    return replace(head, layers=layers)


def _index_parts(document: Mapping[str, object]) -> list[Digest]:
    if document["artifactType"] != PACKAGE:
        raise IntegrityError(f"not a lamina package: artifact type `{document['artifactType']}`")
    parts = fields.mappings(document["manifests"])
    if not parts or any(part["mediaType"] != MANIFEST for part in parts):
        raise ValueError("an index of no manifests, or of something else")
    return [fields.digest(part) for part in parts]


def encode_config(package: Package) -> bytes:
    """The config blob: everything about a package that the manifest has no field for."""
    seldom: dict[str, object] = {}
    if package.base_layers:
        seldom |= {"baseLayers": package.base_layers, "image": baseimage.encode(package.image)}
    if package.program:
        seldom["program"] = list(package.program)
    return fields.write(
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
    return _manifest(package, Digest.of(encode_config(package)))


def _manifest(package: Package, config: Digest) -> bytes:
    return fields.write(
        {
            "annotations": _annotations(package),
            "artifactType": PACKAGE,
            "config": _descriptor(CONFIG, config),
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
    return fields.read(manifest, "a package manifest", _config_digest)


def decode(manifest: bytes, config: bytes) -> Package:
    """A package from its two blobs; raises IntegrityError where they are malformed or disagree."""
    found = _part(manifest, config)
    if found.base_layers > len(found.layers):
        count = len(found.layers)
        raise IntegrityError(f"{found.base_layers} layers of a base image among {count}")
    return found


def _part(manifest: bytes, config: bytes) -> Package:
    """A package, or what an index names of one."""
    document = fields.read(manifest, "a package manifest", _known)
    return fields.read(config, "a package config", lambda found: _package(document, found))


def _config_digest(document: Mapping[str, object]) -> Digest:
    return fields.digest(fields.mapping(_known(document)["config"]))


def _known(document: Mapping[str, object]) -> Mapping[str, object]:
    """The manifest itself, if it is one that this lamina knows."""
    kind = document["artifactType"]
    if kind != PACKAGE:
        raise IntegrityError(f"not a lamina package: artifact type {kind!r:.80}")
    config = fields.mapping(document["config"])
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
    blobs = fields.mappings(document["layers"])
    details = fields.mappings(config["layers"])
    if len(blobs) != len(details):
        raise IntegrityError(f"a manifest of {len(blobs)} layers and a config of {len(details)}")
    environment = fields.mapping(config["environment"])
    if not all(key and "=" not in key for key in map(fields.text, environment)):
        raise ValueError("a name of a variable without letters or with `=`")
    base_layers = fields.number(config.get("baseLayers", 0))
    if details and base_layers > len(details):
        raise ValueError(f"{base_layers} layers of a base image among {len(details)}")
    if not base_layers and "image" in config:
        raise ValueError("a base image without layers")
    return Package(
        name=check_path(fields.line(config["name"])),  # name and version become paths
        version=_version(fields.text(config["version"])),
        label=fields.line(config["label"]),
        layers=tuple(map(_layer, blobs, details)),
        entry_point=_entry_point(config["entryPoint"]),
        program=tuple(fields.text(word) for word in fields.sequence(config.get("program", []))),
        environment=tuple(sorted((key, fields.text(value)) for key, value in environment.items())),
        interpreter=fields.text(config["interpreter"]),
        base=fields.text(config["base"]),
        base_layers=base_layers,
        image=_image(fields.mapping(config["image"]), base_layers) if base_layers else Image(),
        commit=fields.text(config["commit"]),
        dirty=fields.flag(config["dirty"]),
    )


def _image(found: Mapping[str, object], base_layers: int) -> Image:
    image = baseimage.decode(found)
    if image.layers and len(image.layers) != base_layers:  # an older lamina wrote none
        raise ValueError(f"an image of {len(image.layers)} layers below as {base_layers} layers")
    return image


def _entry_point(value: object) -> tuple[str, ...]:
    words = tuple(map(fields.text, fields.sequence(value)))
    if words:
        check_path(words[0])  # from the package root, which nothing of a package leads out of
    return words


def _layer(blob: Mapping[str, object], detail: Mapping[str, object]) -> Layer:
    media_type = fields.text(blob["mediaType"])
    if media_type not in EXTENSIONS:
        raise IntegrityError(
            f"a layer has the unknown form `{fields.line(media_type)}`",
            hint="use a newer lamina",
        )
    return Layer(
        label=fields.line(detail["label"]),
        tree=fields.digest(fields.mapping(detail["tree"])),
        blob=fields.digest(blob),
        media_type=media_type,
        files=fields.number(detail["files"]),
        content_size=fields.number(detail["contentSize"]),
        labels=tuple(fields.line(label) for label in fields.sequence(detail.get("labels", []))),
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


def _version(text: str) -> str:
    if not is_version(text):
        raise ValueError(f"a version is wanted, not {text!r:.40}")
    return text
