"""A signature as an OCI artifact: a manifest about another one, with an envelope as its layer.

Specification: github.com/opencontainers/image-spec, manifest.md, "Guidelines for Artifact Usage".
Registries list it among the referrers of its `subject`.
"""

from __future__ import annotations

from collections.abc import Mapping

from lamina.core.classes import dataclass
from lamina.core.digest import Digest
from lamina.formats import dsse, intoto, strictjson, transfer
from lamina.formats.oci import MANIFEST
from lamina.formats.strictjson import mapping, sequence, text

ARTIFACT_TYPE = intoto.PAYLOAD_TYPE
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
EMPTY = transfer.EMPTY  # the config of what needs none
LIMIT = 1 << 16  # bytes of the manifest
_PREDICATE = "in-toto.io/predicate-type"


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a manifest of a signature names."""

    subject: str  # `sha256:…` of the manifest that was signed
    envelope: Digest


def encode(subject: Digest, media_type: str, envelope: Digest) -> bytes:
    """The manifest that puts an envelope to a manifest of some media type."""
    return strictjson.write(
        {
            "annotations": {_PREDICATE: intoto.PROVENANCE},
            "artifactType": ARTIFACT_TYPE,
            "config": _descriptor(EMPTY_TYPE, Digest.of(EMPTY)),
            "layers": [_descriptor(dsse.MEDIA_TYPE, envelope)],
            "mediaType": MANIFEST,
            "schemaVersion": 2,
            "subject": _descriptor(media_type, subject),
        }
    )


def decode(manifest: bytes) -> Artifact:
    """Read such a manifest; raises IntegrityError where it is malformed or of another kind."""
    return strictjson.read(manifest, "a manifest of a signature", _artifact)


def _artifact(document: Mapping[str, object]) -> Artifact:
    if document.get("artifactType") != ARTIFACT_TYPE:
        raise ValueError(f"the artifact type is {document.get('artifactType')!r:.80}")
    layers = [mapping(each) for each in sequence(document["layers"])]
    if len(layers) != 1 or layers[0]["mediaType"] != dsse.MEDIA_TYPE:
        raise ValueError("it has not one envelope")
    envelope = _digest(layers[0])
    if envelope.size > dsse.LIMIT:
        raise ValueError(f"an envelope of {envelope.size} bytes")
    return Artifact(_digest(mapping(document["subject"])).oci, envelope)


def _digest(descriptor: Mapping[str, object]) -> Digest:
    size = descriptor["size"]
    if not isinstance(size, int) or isinstance(size, bool):
        raise TypeError("a size is wanted")
    return Digest.from_oci(text(descriptor["digest"]), size)


def _descriptor(media_type: str, digest: Digest) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest.oci, "size": digest.size}
