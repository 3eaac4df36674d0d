"""Pushes packages: what a repository lacks of their blobs, and an advice how to fetch them.

What the repository should have is known from the push before; then only what is new is asked for
and sent. A repository that has lost some of it rejects the manifest, and everything is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from lamina.core import parallel
from lamina.core.digest import Digest
from lamina.core.errors import LaminaError
from lamina.formats import oci, pack, transfer
from lamina.formats.oci import Document
from lamina.formats.transfer import SMALL, Advice, Pack
from lamina.linux import filesystem
from lamina.store.local import LocalStore
from lamina.store.repository import Manifest, Rejected, Repository

_AT_ONCE = 8  # blobs under way
_INLINE = 32 << 10  # bytes of a pack that a manifest carries
_PACK = 16 << 20  # bytes that a pack holds, about
_PACKS = 8  # that an advice names
_WORTH = 2  # a pack is good as long as one of so many of its blobs is wanted

Moved = Callable[[Digest, int], None]  # a blob, and its bytes that have just moved


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push has moved."""

    digest: Digest  # of the manifest
    blobs: int  # that the repository did not have
    size: int  # bytes of these
    layers: int  # that are among them
    manifests: int  # that were sent, with the advice


@dataclass(slots=True)
class _Content:
    """Everything that a package is in a repository."""

    documents: list[Document]  # the last is the package
    layers: dict[Digest, None] = field(default_factory=dict)

    @property
    def root(self) -> Document:
        return self.documents[-1]

    @property
    def blobs(self) -> dict[Digest, None]:
        configs = {each.digest: None for each in self.documents if not each.is_manifest}
        return {**self.layers, **configs}

    @property
    def manifests(self) -> list[Document]:
        return [each for each in self.documents if each.is_manifest]

    @property
    def small(self) -> set[Digest]:
        """What goes into packs, all but the package's own manifest."""
        documents = {each.digest for each in self.documents[:-1]}
        return {each for each in documents | self.layers.keys() if each.size <= SMALL}


@dataclass(frozen=True, slots=True)
class _Former:
    """What a push before has left in a repository."""

    names: frozenset[str] = frozenset()  # hashes of blobs and manifests
    packs: tuple[Pack, ...] = ()


def push(
    digest: Digest,
    store: LocalStore,
    repository: Repository,
    tag: str,
    *,
    mount_from: Sequence[str] = (),
    planned: Callable[[Iterable[Digest]], None] = lambda _digests: None,
    moved: Moved = lambda _digest, _size: None,
) -> Pushed:
    """Push the package with this manifest, and give it a tag.

    Raises BlobMissing where the store lacks some of it, and what the repository raises.
    """
    content = _content(digest, store)
    former = _recall(store, repository)
    sender = _Sender(store, repository, mount_from, planned, moved)
    try:
        return sender.send(content, former, tag)
    except Rejected:
        if not former.names:
            raise
    return sender.send(content, _Former(), tag)


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

    def send(self, content: _Content, former: _Former, tag: str) -> Pushed:
        unknown = [each for each in content.blobs if each.hash not in former.names]
        missing = self._repository.missing(unknown)
        advice, packs = _advise(content, former, self._store)
        if not former.names:
            packs.append(transfer.EMPTY)
        self._planned([*missing, *(Digest.of(each) for each in packs)])
        self._send_blobs(missing, packs)
        manifests = [
            each for each in content.manifests[:-1] if each.digest.hash not in former.names
        ]
        parallel.run([partial(self._put, each) for each in manifests], _AT_ONCE)
        # Whoever finds the package finds this: so it comes first.
        self._put(transfer.encode(advice), transfer.tag(content.root.digest.hash))
        self._put(content.root, tag)
        _remember(self._store, self._repository, content, advice)
        return Pushed(
            content.root.digest,
            len(missing),
            sum(each.size for each in missing),
            len(missing & content.layers.keys()),
            len(manifests) + 2,
        )

    def _send_blobs(self, missing: Iterable[Digest], packs: Sequence[bytes]) -> None:
        # The largest first: else the last of them keeps one connection busy at the end.
        work = [partial(self._send, each) for each in sorted(missing, key=lambda each: -each.size)]
        work += [partial(self._send_pack, each) for each in packs]
        parallel.run(work, _AT_ONCE)

    def _send(self, digest: Digest) -> None:
        self._repository.push(digest, self._store.path(digest), mount_from=self._mount_from)
        self._moved(digest, digest.size)

    def _send_pack(self, data: bytes) -> None:
        digest = Digest.of(data)
        if self._repository.missing([digest]):
            self._repository.push(digest, data)
        self._moved(digest, digest.size)

    def _put(self, document: Document, tag: str = "") -> None:
        self._repository.put_manifest(Manifest(document.data, document.media_type), tag)


def _content(digest: Digest, store: LocalStore) -> _Content:
    """What a package consists of, found from its manifest."""
    found: dict[Digest, Document] = {}
    layers: dict[Digest, None] = {}

    def add(digest: Digest, media_type: str) -> None:
        document = Document(media_type, store.read(digest))
        if document.is_manifest:
            for kind, child in oci.children(document.data):
                if kind in (oci.MANIFEST, oci.INDEX, oci.CONFIG):
                    add(child, kind)
                else:
                    layers.setdefault(child)
        found.setdefault(digest, document)

    add(digest, oci.media_type(store.read(digest)))
    return _Content(list(found.values()), layers)


def _advise(content: _Content, former: _Former, store: LocalStore) -> tuple[Advice, list[bytes]]:
    """Where to find the small blobs together, and the packs that are to be pushed for that."""
    wanted = content.small
    kept = [each for each in former.packs if _is_worth(each, transfer.holds(wanted))]
    alone = {each for each in wanted if not any(known.has(each) for known in kept)}
    root = {content.root.digest: content.root.data}
    new: list[bytes] = []
    newest = pack.encode(root | {each: store.read(each) for each in alone})
    if len(newest) > _INLINE:
        if len(kept) >= _PACKS:
            kept, alone = [], wanted
        # Documents first: who has nothing yet gets all of them with one pack.
        parts = _parts(sorted(alone, key=lambda each: (each in content.layers, each.size, each)))
        made = [(part, pack.encode({each: store.read(each) for each in part})) for part in parts]
        new = [data for _, data in made]
        kept = [Pack(Digest.of(data), transfer.holds(part)) for part, data in made] + kept
        newest = pack.encode(root)
    if len(newest) > 2 * _INLINE:
        newest = pack.encode({})  # a manifest that large is asked for by its name
    return Advice(newest, tuple(kept)), new


def _is_worth(found: Pack, wanted: frozenset[bytes]) -> bool:
    return len(found.holds & wanted) * _WORTH >= len(found.holds)


def _parts(digests: Sequence[Digest]) -> list[list[Digest]]:
    """Blobs in packs of a size."""
    found: list[list[Digest]] = [[]]
    size = 0
    for digest in digests:
        if found[-1] and size + digest.size > _PACK:
            found.append([])
            size = 0
        found[-1].append(digest)
        size += digest.size
    return found


def _record(store: LocalStore, repository: Repository) -> Path:
    name = Digest.of(repository.reference.place.encode()).hash
    return store.folder / "pushed" / name[:16]


def _recall(store: LocalStore, repository: Repository) -> _Former:
    """What the last push from here has left in a repository; nothing where that is not known."""
    try:
        document = json.loads(_record(store, repository).read_bytes())
        content = _content(Digest.parse(document["package"]), store)
        advice = transfer.decode(store.read(Digest.parse(document["advice"])))
    except (FileNotFoundError, ValueError, KeyError, TypeError, LaminaError):
        return _Former()  # it costs some questions
    names = {each.digest.hash for each in content.documents} | {
        each.hash for each in content.layers
    }
    return _Former(frozenset(names), advice.packs)


def _remember(store: LocalStore, repository: Repository, content: _Content, advice: Advice) -> None:
    kept = store.write(transfer.encode(advice).data)
    document = {"package": str(content.root.digest), "advice": str(kept)}
    data = json.dumps(document).encode()
    filesystem.write_atomic(_record(store, repository), data, scratch=store.scratch)
