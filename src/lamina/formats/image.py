"""Container images as folders: OCI layouts, and what `docker save` writes.

https://github.com/opencontainers/image-spec: image-layout.md, image-index.md, manifest.md and
config.md. `docker save`: a `manifest.json` with a list of `{"Config", "RepoTags", "Layers"}`; newer
ones are an OCI layout too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lamina.core.errors import IntegrityError, UserError
from lamina.core.manifest import Image

_REF = "org.opencontainers.image.ref.name"
_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_FOREIGN = ("nondistributable", "foreign")

Read = Callable[[str], bytes]  # a file of the image by its path; raises KeyError


@dataclass(frozen=True, slots=True)
class Choice:
    """Which image of several is meant."""

    tag: str = ""
    architecture: str = ""  # `amd64`, `arm64`


@dataclass(frozen=True, slots=True)
class Found:
    """An image: its layers bottom first, and how it is run."""

    layers: tuple[tuple[str, str], ...]  # path of the file, and its `diff_id` as 64 hex digits
    config: Image


def is_layout(names: Sequence[str]) -> bool:
    """Whether a folder that holds these is an OCI layout."""
    return "index.json" in names and "oci-layout" in names


def is_saved(names: Sequence[str]) -> bool:
    """Whether a folder that holds these is what `docker save` writes."""
    return "manifest.json" in names


def read(names: Sequence[str], files: Read, choice: Choice) -> Found:
    """The image in a folder; raises UserError for none, or several; IntegrityError for bad ones."""
    try:
        if is_layout(names):
            return _layout(files, choice)
        return _saved(files, choice)
    except KeyError as error:
        raise IntegrityError(f"the image has no {error}") from error
    except (ValueError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise IntegrityError(f"the image is malformed: {error}") from error


def _layout(files: Read, choice: Choice) -> Found:
    version = json.loads(files("oci-layout"))["imageLayoutVersion"]
    if version != "1.0.0":
        raise IntegrityError(f"an OCI layout of version `{version}` is not known")
    descriptor = _choose(json.loads(files("index.json"))["manifests"], choice, tagged=True)
    while descriptor.get("mediaType") in _INDEXES:
        inner = json.loads(files(_blob(descriptor)))["manifests"]
        descriptor = _choose(inner, choice, tagged=False)
    manifest = json.loads(files(_blob(descriptor)))
    for layer in manifest["layers"]:
        if any(word in layer.get("mediaType", "") for word in _FOREIGN):
            raise UserError("the image has a layer that may not be passed on, and is not in it")
    paths = [_blob(layer) for layer in manifest["layers"]]
    return _found(paths, json.loads(files(_blob(manifest["config"]))), choice)


def _blob(descriptor: Mapping[str, Any]) -> str:
    algorithm, _, digits = descriptor["digest"].partition(":")
    if algorithm != "sha256" or len(digits) != 64 or not digits.isalnum():
        raise IntegrityError(f"the image names a blob by `{descriptor['digest']}`")
    return f"blobs/sha256/{digits}"


def _choose(
    manifests: Sequence[Mapping[str, Any]], choice: Choice, *, tagged: bool
) -> Mapping[str, Any]:
    """The one that is meant; an attestation beside an image is none."""
    tags = [each.get("annotations", {}).get(_REF, "") for each in manifests]
    fitting = [
        each
        for each, tag in zip(manifests, tags, strict=True)
        if not tagged or not choice.tag or choice.tag in (tag, tag.rpartition(":")[2])
    ]
    platforms = [each.get("platform", {}).get("architecture") for each in fitting]
    if len(fitting) > 1:
        fitting = [
            each
            for each, platform in zip(fitting, platforms, strict=True)
            if platform == choice.architecture
        ]
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
    return _found(fitting[0]["Layers"], json.loads(files(fitting[0]["Config"])), choice)


def _found(paths: Sequence[str], config: Mapping[str, Any], choice: Choice) -> Found:
    ids = [each.removeprefix("sha256:") for each in config["rootfs"]["diff_ids"]]
    if len(ids) != len(paths):
        raise IntegrityError(f"the image has {len(paths)} layers and {len(ids)} `diff_ids`")
    architecture = config.get("architecture", "")
    if choice.architecture and architecture and architecture != choice.architecture:
        raise UserError(
            f"the image is for `{architecture}`, and not for `{choice.architecture}`",
            hint="`architecture` says which is wanted",
        )
    run = config.get("config") or {}
    image = Image(
        architecture=str(architecture),
        environment=tuple(map(str, run.get("Env") or ())),
        entry_point=tuple(map(str, run.get("Entrypoint") or ())),
        command=tuple(map(str, run.get("Cmd") or ())),
        folder=str(run.get("WorkingDir") or ""),
        user=str(run.get("User") or ""),
    )
    return Found(tuple(zip(paths, ids, strict=True)), image)
