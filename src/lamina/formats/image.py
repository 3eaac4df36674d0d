"""Container images as others lay them out: OCI layouts, and what `docker save` writes.

https://github.com/opencontainers/image-spec: image-layout.md, image-index.md, manifest.md and
config.md. `docker save`: a `manifest.json` with a list of `{"Config", "RepoTags", "Layers"}`; newer
ones are an OCI layout too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from lamina.core.classes import dataclass, replace
from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError, UserError
from lamina.core.manifest import Image, Step

_REF = "org.opencontainers.image.ref.name"
_CONTAINERD = "io.containerd.image.name"
_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_FOREIGN = ("nondistributable", "foreign")

Read = Callable[[str], bytes]  # a file of the image by its path; raises IntegrityError


@dataclass(frozen=True, slots=True)
class Choice:
    """Which image of several is meant."""

    tag: str = ""
    architecture: str = ""  # `amd64`, `arm64`


@dataclass(frozen=True, slots=True)
class FoundLayer:
    """A layer of an image, where the image has it."""

    path: str
    diff_id: str  # 64 hexadecimal digits
    media_type: str = ""  # empty where nobody tells it
    size: int | None = None  # bytes, where it is told


@dataclass(frozen=True, slots=True)
class Found:
    """An image: its layers bottom first, and how it is run."""

    layers: tuple[FoundLayer, ...]
    image: Image  # without its layers


def is_layout(names: Sequence[str]) -> bool:
    """Whether a folder that holds these is an OCI layout."""
    return "index.json" in names and "oci-layout" in names


def is_saved(names: Sequence[str]) -> bool:
    """Whether a folder that holds these is what `docker save` writes."""
    return "manifest.json" in names


def read(names: Sequence[str], files: Read, choice: Choice) -> Found:
    """The image in a folder; raises UserError for none, or several; IntegrityError for bad ones."""
    return _read(lambda: _layout(files, choice) if is_layout(names) else _saved(files, choice))


def resolve(digest: str, files: Read, choice: Choice) -> Found:
    """The image whose manifest, or index, has this digest, `sha256:…`; raises as `read` does."""
    return _read(lambda: _resolved({"digest": digest}, files, choice))


def _read(use: Callable[[], Found]) -> Found:
    try:
        return use()
    except KeyError as error:
        raise IntegrityError(f"the image has no {error}") from error
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise IntegrityError(f"the image is malformed: {error}") from error


def _layout(files: Read, choice: Choice) -> Found:
    version = json.loads(files("oci-layout"))["imageLayoutVersion"]
    if version != "1.0.0":
        raise IntegrityError(f"an OCI layout of version `{version}` is not known")
    descriptor = _choose(json.loads(files("index.json"))["manifests"], choice, tagged=True)
    found = _resolved(descriptor, files, choice)
    return replace(found, image=replace(found.image, name=_name(descriptor)))


def _name(descriptor: Mapping[str, Any]) -> str:
    notes = descriptor.get("annotations") or {}
    return _said(notes.get(_CONTAINERD) or notes.get(_REF))


def _resolved(descriptor: Mapping[str, Any], files: Read, choice: Choice) -> Found:
    """From a manifest, or an index of several, to the image."""
    document = json.loads(files(_blob(descriptor)))
    while descriptor.get("mediaType") in _INDEXES or "manifests" in document:
        descriptor = _choose(document["manifests"], choice, tagged=False)
        document = json.loads(files(_blob(descriptor)))
    layers = document["layers"]
    if any(word in layer.get("mediaType", "") for layer in layers for word in _FOREIGN):
        raise UserError("the image has a layer that may not be passed on, and is not in it")
    found = _found(
        [
            FoundLayer(_blob(layer), "", str(layer.get("mediaType", "")), int(layer["size"]))
            for layer in layers
        ],
        json.loads(files(_blob(document["config"]))),
        choice,
    )
    digest = Digest.from_oci(descriptor["digest"], 0).hash
    return replace(found, image=replace(found.image, digest=digest))


def named(document: bytes) -> list[str]:
    """Where a layout has the manifests that an index lists; none where it is no index."""
    try:
        return [_blob(each) for each in json.loads(document).get("manifests", ())]
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise IntegrityError(f"the image is malformed: {error}") from error


def place(digest: str) -> str:
    """Where a layout has the blob of a digest, `sha256:…`; raises IntegrityError for other ones."""
    algorithm, _, digits = digest.partition(":")
    if algorithm != "sha256" or len(digits) != 64 or not digits.isalnum():
        raise IntegrityError(f"the image names a blob by `{digest}`")
    return f"blobs/sha256/{digits}"


def _blob(descriptor: Mapping[str, Any]) -> str:
    return place(descriptor["digest"])


def _choose(
    manifests: Sequence[Mapping[str, Any]], choice: Choice, *, tagged: bool
) -> Mapping[str, Any]:
    """The one that is meant; an attestation beside an image is none."""
    tags = [(each.get("annotations") or {}).get(_REF, "") for each in manifests]
    fitting = [
        each
        for each, tag in zip(manifests, tags, strict=True)
        if not tagged or not choice.tag or choice.tag in (tag, tag.rpartition(":")[2])
    ]
    platforms = [_architecture(each) for each in fitting]
    if choice.architecture:  # where it is not said, the image's own configuration tells it
        fitting = _of(choice.architecture, fitting) or _of("", fitting)
    if len(fitting) == 1:
        return fitting[0]
    if tagged and choice.tag and choice.tag not in tags:
        raise UserError(
            f"there is no image `{choice.tag}` in it", hint=f"there is {_listed(tags) or 'none'}"
        )
    if not fitting:
        raise UserError(
            f"it has no image for `{choice.architecture}`",
            hint=f"it has those for {_listed(platforms) or 'nothing'}",
        )
    raise UserError(f"it has {len(fitting)} images", hint=f"`tag` says which: {_listed(tags)}")


def _of(architecture: str, manifests: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [each for each in manifests if _architecture(each) == architecture]


def _architecture(descriptor: Mapping[str, Any]) -> str:
    """The machine that an image is for; "" where that is not said."""
    platform = descriptor.get("platform") or {}
    if platform.get("os", "linux") not in ("", "linux"):
        return f"{platform['os']}/{platform.get('architecture', '')}"
    return str(platform.get("architecture", ""))


def _listed(words: Sequence[str | None]) -> str:
    return ", ".join(f"`{word}`" for word in dict.fromkeys(words) if word)


def _saved(files: Read, choice: Choice) -> Found:
    images = json.loads(files("manifest.json"))
    tags = [tag for each in images for tag in each.get("RepoTags") or ()]
    fitting = [
        each
        for each in images
        if not choice.tag
        or any(choice.tag in (tag, tag.rpartition(":")[2]) for tag in each.get("RepoTags") or ())
    ]
    if not fitting:
        raise UserError(
            f"there is no image `{choice.tag}` in it", hint=f"there is {_listed(tags) or 'none'}"
        )
    if len(fitting) > 1:
        raise UserError(f"it has {len(fitting)} images", hint=f"`tag` says which: {_listed(tags)}")
    (entry,) = fitting
    layers = [FoundLayer(_text(path), "") for path in entry["Layers"]]
    found = _found(layers, json.loads(files(_text(entry["Config"]))), choice)
    name = next(iter(entry.get("RepoTags") or ()), "")
    return replace(found, image=replace(found.image, name=_said(name)))


def _found(layers: Sequence[FoundLayer], config: Mapping[str, Any], choice: Choice) -> Found:
    ids = [Digest.from_oci(_text(each), 0).hash for each in config["rootfs"]["diff_ids"]]
    if len(ids) != len(layers):
        raise IntegrityError(f"the image has {len(layers)} layers and {len(ids)} `diff_ids`")
    architecture = config.get("architecture", "")
    if choice.architecture and architecture and architecture != choice.architecture:
        raise UserError(
            f"the image is for `{architecture}`, and not for `{choice.architecture}`",
            hint="`architecture` says which is wanted",
        )
    run = config.get("config") or {}
    image = Image(
        architecture=_said(architecture),
        environment=tuple(map(_said, run.get("Env") or ())),
        entry_point=tuple(map(_said, run.get("Entrypoint") or ())),
        command=tuple(map(_said, run.get("Cmd") or ())),
        folder=_said(run.get("WorkingDir")),
        user=_said(run.get("User")),
        history=_history(config.get("history") or (), len(layers)),
        labels=tuple(sorted(_labels(run.get("Labels") or {}))),
        ports=tuple(sorted(map(_said, run.get("ExposedPorts") or ()))),
        volumes=tuple(sorted(map(_said, run.get("Volumes") or ()))),
        stop_signal=_said(run.get("StopSignal")),
    )
    known = (replace(layer, diff_id=diff) for layer, diff in zip(layers, ids, strict=True))
    return Found(tuple(known), image)


def _labels(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in found.items():
        yield _said(name), _said(value)


def _history(entries: Sequence[Mapping[str, Any]], layers: int) -> tuple[Step, ...]:
    """What the image tells of its making; nothing where that does not fit its layers."""
    steps = tuple(
        Step(
            _said(entry.get("created")),
            _said(entry.get("created_by")),
            _said(entry.get("author")),
            _said(entry.get("comment")),
            bool(entry.get("empty_layer")),
        )
        for entry in entries
    )
    return steps if sum(not step.empty for step in steps) == layers else ()


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a string is wanted, not {value!r:.40}")
    return value


def _said(value: object) -> str:
    """What an image says of itself, as a text that a program or a document can be given."""
    text = "" if value is None else str(value)
    if "\0" in text:
        raise ValueError("a NUL in a text")
    text.encode()  # half a surrogate pair can be written in JSON, but is no text
    return text
