"""What every blob store offers, and how content gets from one to another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError


class BlobMissing(IntegrityError):
    """A blob that should be in a store is not there."""

    def __init__(self, digest: Digest) -> None:
        super().__init__(
            f"blob `{digest.hash}` is not in the store",
            hint="run the command again: what is missing is made or fetched anew",
        )
        self.digest = digest


class BlobStore(Protocol):
    """A place that keeps blobs by digest. Whatever it returns matches its name."""

    def missing(self, digests: Iterable[Digest]) -> set[Digest]:
        """Those of the digests that the store lacks."""

    def read(self, digest: Digest) -> bytes:
        """The blob's bytes; raises BlobMissing, or IntegrityError where they are wrong."""

    def write(self, data: bytes) -> Digest:
        """Keep the bytes and return their name; writing the same bytes again changes nothing."""


def copy(digests: Iterable[Digest], source: BlobStore, target: BlobStore) -> set[Digest]:
    """Copy the blobs that the target lacks, and return which those were."""
    moved = target.missing(digests)
    for digest in sorted(moved):
        target.write(source.read(digest))
    return moved


def verified(digest: Digest, data: bytes) -> bytes:
    """Return the bytes if they match their name; raises IntegrityError if not."""
    if len(data) != digest.size or Digest.of(data) != digest:
        raise mismatch(digest)
    return data


def mismatch(digest: Digest) -> IntegrityError:
    """What to raise for a blob with other bytes than its name says."""
    return IntegrityError(
        f"blob `{digest.hash}` does not match its name",
        hint="it is taken as missing from now on; run the command again",
    )
