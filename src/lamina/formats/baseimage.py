"""What is known of a base image, as JSON: a part of a package's config blob (`formats/oci`)."""

from __future__ import annotations

from collections.abc import Mapping

from lamina.core.digest import Digest
from lamina.core.manifest import Image, ImageLayer, Step
from lamina.formats import strictjson as fields


def encode(image: Image) -> dict[str, object]:
    """What is written of an image."""
    seldom: dict[str, object] = {"name": image.name, "digest": image.digest}
    seldom["layers"] = [_layer(layer) for layer in image.layers]
    seldom["history"] = [_step(step) for step in image.history]
    seldom |= {"labels": dict(image.labels), "ports": list(image.ports)}
    seldom |= {"volumes": list(image.volumes), "stopSignal": image.stop_signal}
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


def _layer(layer: ImageLayer) -> dict[str, object]:
    return {
        "diffId": layer.diff_id,
        "digest": layer.blob.oci,
        "mediaType": layer.media_type,
        "size": layer.blob.size,
    }


def decode(found: Mapping[str, object]) -> Image:
    """The image that this was written of.

    Raises KeyError, ValueError and IntegrityError for what was not.
    """
    layers = tuple(map(_read_layer, fields.mappings(found.get("layers", []))))
    digest = fields.text(found.get("digest", ""))
    told = fields.mapping(found.get("labels", {}))
    labels = {fields.text(name): fields.text(value) for name, value in told.items()}
    return Image(
        architecture=fields.text(found["architecture"]),
        environment=tuple(map(fields.text, fields.sequence(found["environment"]))),
        entry_point=tuple(map(fields.text, fields.sequence(found["entryPoint"]))),
        command=tuple(map(fields.text, fields.sequence(found["command"]))),
        folder=fields.text(found["folder"]),
        user=fields.text(found["user"]),
        layers=layers,
        history=tuple(map(_read_step, fields.mappings(found.get("history", [])))),
        name=fields.text(found.get("name", "")),
        digest=Digest.from_oci(f"sha256:{digest}", 0).hash if digest else "",
        labels=tuple(sorted(labels.items())),
        ports=tuple(map(fields.text, fields.sequence(found.get("ports", [])))),
        volumes=tuple(map(fields.text, fields.sequence(found.get("volumes", [])))),
        stop_signal=fields.text(found.get("stopSignal", "")),
    )


def _read_layer(found: Mapping[str, object]) -> ImageLayer:
    diff_id = Digest.from_oci(f"sha256:{fields.text(found['diffId'])}", 0).hash
    return ImageLayer(fields.digest(found), diff_id, fields.text(found["mediaType"]))


def _read_step(found: Mapping[str, object]) -> Step:
    return Step(
        created=fields.text(found.get("created", "")),
        created_by=fields.text(found.get("createdBy", "")),
        author=fields.text(found.get("author", "")),
        comment=fields.text(found.get("comment", "")),
        empty=fields.flag(found.get("empty", False)),
    )
