"""Pushes packages: what a repository lacks of their blobs, and an advice how to fetch them.

What the repository should have is known from the push before; then only what is new is asked for
and sent. A repository that has lost some of it rejects the manifest, and everything is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from lamina.core import parallel
from lamina.core.classes import dataclass, replace
from lamina.core.digest import Digest
from lamina.core.errors import LaminaError
from lamina.core.manifest import Package
from lamina.core.reference import Reference
from lamina.formats import carried as form
from lamina.formats import transfer
from lamina.formats.oci import Document
from lamina.formats.transfer import Advice
from lamina.linux import filesystem
from lamina.packaging import advice, over
from lamina.packaging.advice import Content, Former
from lamina.packaging.over import Edit
from lamina.store import leases
from lamina.store.local import LocalStore
from lamina.store.repository import Manifest, Rejected, Repository
from lamina.store.trust import signatures

_AT_ONCE = 8  # blobs under way
_FEW = 8  # so few small blobs are sent without asking whether they are there
_SOON = 64 << 20  # bytes that are sent before anybody loses patience

_NONE: Mapping[Digest, Package] = {}
Work = Callable[[], None]
Moved = Callable[[Digest, int], None]  # a blob, and its bytes that have just moved
Early = Callable[["Pushed"], None]


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push moves."""

    digest: Digest  # of the manifest
    blobs: int  # that were sent: those that the repository did not have, as far as it was asked
    size: int  # bytes of these
    layers: int  # that are among them
    manifests: int  # that were sent, with the advice
    signatures: int = 0  # that were put beside it
    news: tuple[Sequence[Digest], ...] = ()  # as `advice.news` tells it
    edit: Edit = Edit()  # what it is of packages before
    follows: bool = False  # whether it comes after what was to be done early


def push(
    digest: Digest,
    store: LocalStore,
    repository: Repository,
    tag: str,
    *,
    mount_from: Sequence[str] = (),
    planned: Callable[[Iterable[Digest]], None] = lambda _digests: None,
    moved: Moved = lambda _digest, _size: None,
    early: Early | None = None,
    decoded: Mapping[Digest, Package] = _NONE,
) -> Pushed:
    """Push the package with this manifest and its signatures, and give it a tag.

    Packages that are `decoded` already are not read again.
    `early` is called first, with what is known of the push, where it does not take long and some
    nodes can be expected to need nothing of it. That is not so where there are signatures, for
    which a node's policy may ask.

    Raises BlobMissing where the store lacks some of it, what the repository raises, and what
    `early` does; that may have been called before any of these.
    """
    with leases.leased_package(store.folder, digest):
        content = advice.content(digest, store, decoded=decoded)
        former = _recall(store, repository.reference, content, decoded)
        news = advice.news(content, former)
        edit = _edit(content, former, store)

        if early is not None and _follows(content, former, edit, news, store):
            sent = _sent(content, former, _unknown(content, former))
            early(replace(sent, news=news, edit=edit, follows=True))
        sender = _Sender(store, repository, mount_from, planned, moved)
        sent, advised = sender.send(content, former, tag)
        _remember(store, repository.reference, digest, edit.chain, advised)
        return replace(sent, news=news, edit=edit)


def carried(package: Package, pushed: Pushed, store: LocalStore) -> str:
    """What can travel with a job of the news of a package, and its edit; empty where neither can.

    The signatures of the package go with it, if there is room.
    """
    blobs = _news(pushed.digest, pushed.news, store)
    text = form.with_edit(blobs, over.told(package, pushed.digest, pushed.edit))
    return form.coming(text) if pushed.follows else text


def planned(digest: Digest, store: LocalStore, place: Reference) -> Pushed:
    """What a push to a repository would tell of a package, as far as one knows; nobody is asked."""
    content = advice.content(digest, store)
    former = _recall(store, place, content, _NONE)
    news = advice.news(content, former)
    edit = _edit(content, former, store)
    follows = _follows(content, former, edit, news, store)
    return Pushed(digest, 0, 0, 0, 0, news=news, edit=edit, follows=follows)


def _follows(
    content: Content,
    former: Former,
    edit: Edit,
    news: tuple[Sequence[Digest], ...],
    store: LocalStore,
) -> bool:
    """Whether some nodes can be expected to begin without a push, and others need not wait long."""
    if not former.names or not (edit.image or news):
        return False
    size = sum(each.size for each in _unknown(content, former))
    return size <= _SOON and not signatures.kept(content.root.digest, store)


def _edit(content: Content, former: Former, store: LocalStore) -> Edit:
    before = former.content
    if before is None or before.root.digest == content.root.digest:
        return over.again(former.chain, content.package, store) or Edit()
    return over.follow(former.chain, before.root.digest, before.package, content.package, store)


def _news(package: Digest, news: Iterable[Sequence[Digest]], store: LocalStore) -> str:
    """The first of some lists of blobs that can travel with a job."""
    kept = signatures.kept(package, store)
    signed = [data for each in kept for data in (each.manifest, each.envelope)]
    for digests in news:
        if sum(each.size for each in digests) > form.MOST:
            continue
        store.fetch(digests)
        blobs = [store.read(each) for each in digests]
        if text := form.encode([*blobs, *signed]) or form.encode(blobs):
            return text
    return ""


class _Sender:
    """Sends the content of a package."""

    def __init__(
        self,
        store: LocalStore,
        repository: Repository,
        mount_from: Sequence[str],
        planned: Callable[[Iterable[Digest]], None],
        moved: Moved,
    ) -> None:
        self._store = store
        self._repository = repository
        self._mount_from = mount_from
        self._planned = planned
        self._moved = moved

    def send(self, content: Content, former: Former, tag: str) -> tuple[Pushed, Advice]:
        """Send what the repository lacks, also where it has lost what it had."""
        try:
            return self._send_once(content, former, tag)
        except Rejected:
            if not former.names:
                raise
            # What nodes have is not gone because the repository has lost it.
            return self._send_once(content, Former(), tag)

    def _send_once(self, content: Content, former: Former, tag: str) -> tuple[Pushed, Advice]:
        """Send what the repository lacks; the advice that lies beside the package there."""
        unknown = _unknown(content, former)
        missing = set(unknown) if _is_little(unknown, former) else self._repository.missing(unknown)
        plan = advice.advise(content, former, self._store)
        packs = list(plan.packs) if former.names else [*plan.packs, transfer.EMPTY]
        missing |= {each.blob for each in plan.deltas}
        self._planned([*missing, *(Digest.of(each) for each in packs)])
        advised = partial(
            self._put, transfer.encode(plan.advice), transfer.tag(content.root.digest.hash)
        )
        needs_nothing = not packs and not plan.deltas  # that is not there: it need not wait
        self._send_blobs(missing, packs, [advised] if needs_nothing else [])
        work = [partial(self._put, each) for each in _fresh_manifests(content, former)]
        parallel.run(work if needs_nothing else [*work, advised], _AT_ONCE)
        # Whoever finds the package finds all that.
        self._put(content.root, tag)
        signed = signatures.send(
            signatures.kept(content.root.digest, self._store), self._repository
        )
        return replace(_sent(content, former, missing), signatures=signed), plan.advice

    def _send_blobs(
        self, missing: Iterable[Digest], packs: Sequence[bytes], beside: Sequence[Work]
    ) -> None:
        # The largest first: else the last of them keeps one connection busy at the end.
        work: list[Work] = [
            partial(self._send, each) for each in sorted(missing, key=lambda each: -each.size)
        ]
        work += [partial(self._send_pack, each) for each in packs]
        parallel.run([*work, *beside], _AT_ONCE)

    def _send(self, digest: Digest) -> None:
        self._repository.push(digest, self._store.source(digest), mount_from=self._mount_from)
        self._moved(digest, digest.size)

    def _send_pack(self, data: bytes) -> None:
        digest = Digest.of(data)
        if self._repository.missing([digest]):
            self._repository.push(digest, data)
        self._moved(digest, digest.size)

    def _put(self, document: Document, tag: str = "") -> None:
        self._repository.put_manifest(Manifest(document.data, document.media_type), tag)


def _unknown(content: Content, former: Former) -> list[Digest]:
    """The blobs that a repository is not known to have."""
    return [each for each in content.blobs if each.hash not in former.names]


def _fresh_manifests(content: Content, former: Former) -> list[Document]:
    """The manifests that it is not known to have, but for the package's own."""
    return [each for each in content.manifests[:-1] if each.digest.hash not in former.names]


def _sent(content: Content, former: Former, blobs: Collection[Digest]) -> Pushed:
    """What a push that sends some blobs moves."""
    return Pushed(
        content.root.digest,
        len(blobs),
        sum(each.size for each in blobs),
        sum(each in content.layers for each in blobs),
        len(_fresh_manifests(content, former)) + 2,
    )


def _is_little(unknown: Sequence[Digest], former: Former) -> bool:
    """Whether it is sooner sent than asked for: what an edit has made is seldom there."""
    small = all(each.size <= transfer.SMALL for each in unknown)
    return bool(former.names) and small and len(unknown) <= _FEW


def _record(store: LocalStore, place: Reference) -> Path:
    name = Digest.of(place.place.encode()).hash
    return store.folder / "pushed" / name[:16]


def _recall(
    store: LocalStore, place: Reference, now: Content, decoded: Mapping[Digest, Package]
) -> Former:
    """What the last push from here has left in a repository; nothing where that is not known.

    It is found with what is known of the content of this push.
    """
    try:
        document = json.loads(_record(store, place).read_bytes())
        content = advice.content(Digest.parse(document["package"]), store, now, decoded)
        told = transfer.decode(store.read(Digest.parse(document["advice"])))
        chain = over.recalled(document["over"], document["paths"])
    except (FileNotFoundError, ValueError, KeyError, TypeError, LaminaError):
        return Former()  # it costs some questions
    names = {each.digest.hash for each in content.documents} | {
        each.hash for each in content.layers
    }
    layers = {layer.label: layer.blob for layer in content.package.layers}
    return Former(content, chain, frozenset(names), layers, told.packs, told.deltas)


def _remember(
    store: LocalStore, place: Reference, package: Digest, chain: over.Chain, told: Advice
) -> None:
    kept = store.write(transfer.encode(told).data)
    document = {
        "package": str(package), "advice": str(kept),
        "over": list(chain.packages), "paths": {key: list(of) for key, of in chain.paths.items()},
    }  # fmt: skip
    data = json.dumps(document).encode()
    filesystem.write_atomic(_record(store, place), data, scratch=store.scratch)
