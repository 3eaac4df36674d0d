"""Copies a package or any other image from one repository to another, with all that goes with it.

Manifests are walked from the top; blobs that the other side has do not move. What does is kept in
the local store on its way, where it may be already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from lamina.core import parallel
from lamina.core.classes import dataclass, field
from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError
from lamina.formats import oci, transfer
from lamina.store import leases
from lamina.store.local import LocalStore
from lamina.store.partial import Partials
from lamina.store.repository import Manifest, NotThere, Repository

Planned = Callable[[Iterable[Digest]], None]  # what will be sent
Moved = Callable[[Digest, int], None]  # a blob, and its bytes that have just moved

_AT_ONCE = 8  # blobs under way
_DEPTH = 8  # of manifests that name manifests
_MOST = 200_000  # blobs of an image
_MANIFESTS = (
    oci.MANIFEST,
    oci.INDEX,
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)


@dataclass(frozen=True, slots=True)
class Copied:
    """What was copied."""

    digest: Digest  # of the manifest at the top
    blobs: int  # that were sent
    size: int  # bytes of these


@dataclass(slots=True)
class _Found:
    """Everything below some manifests."""

    manifests: dict[Digest, Manifest] = field(default_factory=dict)  # those named come first
    blobs: dict[Digest, None] = field(default_factory=dict)


def copy(
    source: Repository,
    target: Repository,
    store: LocalStore,
    *,
    tag: str = "",
    planned: Planned = lambda _digests: None,
    moved: Moved = lambda _digest, _size: None,
) -> Copied:
    """Copy what the source's reference names, its referrers, and the advice how to move it.

    Raises what the repositories raise, and IntegrityError for manifests that are malformed.
    """
    top = source.manifest(source.reference.wanted)
    found = _Found()
    _walk(source, top, found, _DEPTH)
    beside = _beside(source, top.digest, found)
    mount_from = _same_host(source, target)
    partials = Partials(store)

    def path_of(digest: Digest) -> Path:
        partials.fetch(digest, partial(source.fetch, digest))
        return store.path(digest)

    sending = _Sending(target, path_of, planned, moved, mount_from)
    with leases.leased(store.folder, found.blobs):
        missing = sending.send(found.blobs)
    for digest, manifest in found.manifests.items():
        if digest != top.digest:
            target.put_manifest(manifest)
    for name, manifest in beside.items():
        target.put_manifest(manifest, name)
    target.put_manifest(top, tag)
    return Copied(top.digest, len(missing), sum(each.size for each in missing))


def send(
    manifest: Manifest,
    blobs: Iterable[Digest],
    target: Repository,
    store: LocalStore,
    *,
    tag: str = "",
    planned: Planned = lambda _digests: None,
    moved: Moved = lambda _digest, _size: None,
) -> Copied:
    """Send an image whose blobs are in the store: those that the target lacks, then the manifest.

    Raises what the repository raises, and BlobMissing.
    """
    missing = _Sending(target, store.path, planned, moved).send(blobs)
    target.put_manifest(manifest, tag)
    return Copied(manifest.digest, len(missing), sum(each.size for each in missing))


@dataclass(frozen=True, slots=True)
class _Sending:
    """Blobs on their way to a repository."""

    target: Repository
    path_of: Callable[[Digest], Path]
    planned: Planned
    moved: Moved
    mount_from: Sequence[str] = ()

    def send(self, blobs: Iterable[Digest]) -> set[Digest]:
        """Send those of some blobs that the repository lacks, and tell them."""
        missing = self.target.missing(blobs)
        self.planned(missing)
        largest_first = sorted(missing, key=lambda each: -each.size)
        parallel.run([partial(self._send, digest) for digest in largest_first], _AT_ONCE)
        return missing

    def _send(self, digest: Digest) -> None:
        self.target.push(digest, self.path_of(digest), mount_from=self.mount_from)
        self.moved(digest, digest.size)


def _walk(source: Repository, manifest: Manifest, found: _Found, depth: int) -> None:
    if manifest.digest in found.manifests:
        return
    if not depth:
        raise IntegrityError("manifests that name manifests, again and again")
    for kind, child in oci.children(manifest.data):
        if kind in _MANIFESTS:
            _walk(source, source.manifest(child.oci), found, depth - 1)
        elif not oci.is_foreign(kind):
            found.blobs[child] = None
    if len(found.blobs) + len(found.manifests) > _MOST:
        raise IntegrityError(f"an image of more than {_MOST} blobs")
    found.manifests[manifest.digest] = manifest


def _beside(source: Repository, top: Digest, found: _Found) -> dict[str, Manifest]:
    """What a tag made of the digest leads to; signatures are put to what is found."""
    for descriptor in source.referrers(top):
        _walk(source, source.manifest(str(descriptor["digest"])), found, _DEPTH)
    name = transfer.tag(top.hash)
    try:
        advice = source.manifest(name)
    except NotThere:
        return {}
    found.blobs.update((child, None) for _, child in oci.children(advice.data))
    return {name: advice}


def _same_host(source: Repository, target: Repository) -> Sequence[str]:
    """The repositories of the target's registry that have the blobs."""
    ours, theirs = source.reference, target.reference
    return [ours.repository] if ours.host and ours.host == theirs.host else []
