"""How a package moves best: beside its manifest, where to find its small blobs together.

A repository has an OCI manifest for each package at the tag `sha256-<hash>.lamina`. An annotation
is a pack: of what is new since the versions before, and of the package's own manifest. Its layers
are further packs; each tells the first 4 bytes of the digests of what it holds. All of that is
advice: who finds nothing good in it asks for each blob.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError
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
class Advice:
    """Where the small blobs of a package lie together."""

    newest: bytes  # a pack
    packs: tuple[Pack, ...] = ()  # the newest first


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
        "layers": [_descriptor(pack) for pack in advice.packs] or [_EMPTY],
        "mediaType": MANIFEST,
        "schemaVersion": 2,
    }
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return Document(MANIFEST, text.encode())


def decode(manifest: bytes) -> Advice:
    """An advice; raises IntegrityError where it is malformed."""
    try:
        document = json.loads(manifest)
        if document["artifactType"] != TRANSFER:
            raise ValueError("another kind of artifact")
        newest = base64.b64decode(document["annotations"][_NEWEST], validate=True)
        packs = tuple(_pack(each) for each in document["layers"] if each["mediaType"] == PACK)
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as error:
        raise IntegrityError(f"not an advice how to move a package: {error!r}") from error
    return Advice(newest, packs)


def _descriptor(pack: Pack) -> dict[str, object]:
    return {
        "annotations": {_HOLDS: base64.b64encode(b"".join(sorted(pack.holds))).decode()},
        "digest": pack.blob.oci,
        "mediaType": PACK,
        "size": pack.blob.size,
    }


def _pack(descriptor: Mapping[str, object]) -> Pack:
    size, annotations = descriptor["size"], descriptor["annotations"]
    if not isinstance(size, int) or not isinstance(annotations, dict):
        raise TypeError("a size and annotations are wanted")
    data = base64.b64decode(annotations[_HOLDS], validate=True)
    names = frozenset(data[at : at + _PREFIX] for at in range(0, len(data), _PREFIX))
    return Pack(Digest.from_oci(str(descriptor["digest"]), size), names)


def _prefix(digest: Digest) -> bytes:
    return bytes.fromhex(digest.hash[: 2 * _PREFIX])
