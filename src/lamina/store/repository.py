"""What every repository of packages offers: one on a registry, or a folder in OCI image layout.

Specification: github.com/opencontainers/distribution-spec.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from lamina.core.classes import dataclass
from lamina.core.digest import Digest
from lamina.core.errors import LaminaError, ServiceError
from lamina.core.reference import Reference
from lamina.store.streams import Distant, Incoming


class NotThere(ServiceError):
    """A repository has no such manifest or blob, or there is no such repository."""


def absent(place: str, wanted: str, words: str = "") -> NotThere:
    """That a repository has no blob, or no manifest of a digest or tag; what its registry says."""
    hint = None if wanted.startswith("sha256:") else f"`lamina tags {place}` lists what it has"
    return NotThere(f"`{place}` has no `{wanted}`{words and f': {words}'}", hint=hint)


class Refused(ServiceError):
    """A registry wants to know who asks, or does not allow it."""


class Rejected(LaminaError):
    """A repository does not take a manifest, mostly for want of what it names."""

    exit_code = ServiceError.exit_code


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest as it lies in a repository; its bytes match its digest."""

    data: bytes
    media_type: str

    @property
    def digest(self) -> Digest:
        """What it is named by."""
        return Digest.of(self.data)


class Repository(Protocol):
    """A place that keeps blobs and manifests, and names for these. Safe to use from threads.

    Whatever comes from it is checked against its digest. Faults that may pass are met by waiting
    and trying again; what lasts is raised: ServiceError, NotThere, Refused, or IntegrityError for
    wrong bytes.
    """

    reference: Reference

    def manifest(self, wanted: str, *, limit: int = ...) -> Manifest:
        """The manifest of a tag or a digest (`sha256:…`), at most `limit` bytes of it."""

    def put_manifest(self, manifest: Manifest, tag: str = "") -> None:
        """Keep a manifest under its digest, and under a tag; raises Rejected."""

    def missing(self, digests: Iterable[Digest]) -> set[Digest]:
        """Those of some blobs that the repository lacks."""

    def find(self, wanted: str) -> Digest:
        """The digest of a blob (`sha256:…`) with its size, as the repository tells it."""

    def read(self, digest: Digest) -> bytes:
        """A small blob."""

    def fetch(self, digest: Digest, incoming: Incoming) -> None:
        """Let a blob arrive, after the bytes of it that have arrived already; it is checked."""

    def push(
        self, digest: Digest, source: Path | bytes | Distant, *, mount_from: Sequence[str] = ()
    ) -> None:
        """Keep a blob; it may be in one of some other repositories of the same registry.

        Raises Rejected or IntegrityError where the source is another blob.
        """

    def tags(self) -> list[str]:
        """All tags, sorted."""

    def referrers(self, digest: Digest) -> list[dict[str, object]]:
        """The descriptors of the manifests whose subject is a manifest."""

    def close(self) -> None:
        """Give up connections."""
