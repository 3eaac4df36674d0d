"""How a package moves best: beside its manifest, where to find its small blobs together.

A repository has an OCI manifest for each package at the tag `sha256-<hash>.lamina`. An annotation
is a pack: of what is new since the versions before, and of the package's own manifest. Its layers
are further packs; each tells the first 4 bytes of the digests of what it holds; and deltas
(`formats/delta`) of large blobs, each with the digests it leads from and to. All of that is advice:
who finds nothing good in it asks for each blob.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping

from lamina.core.classes import dataclass
from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError, UserError
from lamina.formats.delta import DELTA
from lamina.formats.oci import MANIFEST, Document
from lamina.formats.pack import PACK

TRANSFER = "application/vnd.lamina.transfer.v1"
SMALL = 1 << 16  # bytes of the largest blob that goes into packs
EMPTY = b"{}"  # the config of a manifest that has none, which a repository must have too
_EMPTY = {
    "digest": Digest.of(EMPTY).oci,
    "mediaType": "application/vnd.oci.empty.v1+json",
    "size": len(EMPTY),
}
_NEWEST = "vnd.lamina.pack.newest"
_HOLDS = "vnd.lamina.pack.holds"
_FROM, _TO = "vnd.lamina.delta.from", "vnd.lamina.delta.to"
_PREFIX = 4  # bytes of each digest


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack that lies in the repository."""

    blob: Digest
    holds: frozenset[bytes]  # the first bytes of each digest

    def has(self, digest: Digest) -> bool:
        """Whether a blob is in it, most probably."""
        return _prefix(digest) in self.holds


@dataclass(frozen=True, slots=True)
class Delta:
    """A delta that lies in the repository."""

    blob: Digest
    base: Digest  # that who uses it must have
    target: Digest  # that it gives


@dataclass(frozen=True, slots=True)
class Advice:
    """Where the small blobs of a package lie together, and how large ones come from others."""

    newest: bytes  # a pack
    packs: tuple[Pack, ...] = ()  # the newest first
    deltas: tuple[Delta, ...] = ()


def tag(package: str) -> str:
    """Where the advice lies of the package with a manifest of this hash (64 hexadecimal digits)."""
    return f"sha256-{package}.lamina"


def holds(digests: Iterable[Digest]) -> frozenset[bytes]:
    """What a pack of some blobs tells of them."""
    return frozenset(map(_prefix, digests))


def encode(advice: Advice) -> Document:
    """The manifest that gives an advice."""
    document = {
        "annotations": {_NEWEST: base64.b64encode(advice.newest).decode()},
        "artifactType": TRANSFER,
        "config": _EMPTY,
        "layers": [
            *map(_descriptor, advice.packs),
            *map(_delta_descriptor, advice.deltas),
        ]
        or [_EMPTY],
        "mediaType": MANIFEST,
        "schemaVersion": 2,
    }
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return Document.of(MANIFEST, text.encode())


def decode(manifest: bytes) -> Advice:
    """An advice; raises IntegrityError where it is malformed."""
    try:
        document = json.loads(manifest)
        if document["artifactType"] != TRANSFER:
            raise ValueError("another kind of artifact")
        newest = base64.b64decode(document["annotations"][_NEWEST], validate=True)
        packs = tuple(_pack(each) for each in document["layers"] if each["mediaType"] == PACK)
        deltas = tuple(_delta(each) for each in document["layers"] if each["mediaType"] == DELTA)
    except (ValueError, KeyError, TypeError, RecursionError, UserError) as error:
        raise IntegrityError(f"not an advice how to move a package: {error!r}") from error
    return Advice(newest, packs, deltas)


def _descriptor(pack: Pack) -> dict[str, object]:
    return {
        "annotations": {_HOLDS: base64.b64encode(b"".join(sorted(pack.holds))).decode()},
        "digest": pack.blob.oci,
        "mediaType": PACK,
        "size": pack.blob.size,
    }


def _delta_descriptor(delta: Delta) -> dict[str, object]:
    return {
        "annotations": {_FROM: str(delta.base), _TO: str(delta.target)},
        "digest": delta.blob.oci,
        "mediaType": DELTA,
        "size": delta.blob.size,
    }


def _delta(descriptor: Mapping[str, object]) -> Delta:
    blob, annotations = _blob(descriptor)
    return Delta(blob, Digest.parse(annotations[_FROM]), Digest.parse(annotations[_TO]))


def _blob(descriptor: Mapping[str, object]) -> tuple[Digest, Mapping[str, str]]:
    size, annotations = descriptor["size"], descriptor["annotations"]
    if not isinstance(size, int) or not isinstance(annotations, dict):
        raise TypeError("a size and annotations are wanted")
    if not all(isinstance(text, str) for text in annotations.values()):
        raise TypeError("annotations are texts")
    return Digest.from_oci(str(descriptor["digest"]), size), annotations


def _pack(descriptor: Mapping[str, object]) -> Pack:
    blob, annotations = _blob(descriptor)
    data = base64.b64decode(annotations[_HOLDS], validate=True)
    names = frozenset(data[at : at + _PREFIX] for at in range(0, len(data), _PREFIX))
    return Pack(blob, names)


def _prefix(digest: Digest) -> bytes:
    return bytes.fromhex(digest.hash[: 2 * _PREFIX])
