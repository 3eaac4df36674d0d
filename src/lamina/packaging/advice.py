"""Advice how to fetch a package: its small blobs in packs, its large ones as deltas.

Packs of the push before are kept as long as half of what they hold is still wanted; what they do
not hold is in the manifest of the advice itself, or in a new pack where that is too much. So an
edit sends only what is new, and who has any version before gets all of it with the advice. A large
layer that has taken the place of another one is told as a delta, where that is half as large at
most.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lamina.core.classes import dataclass, field
from lamina.core.digest import Digest
from lamina.core.manifest import Package
from lamina.formats import delta, oci, pack, transfer
from lamina.formats.oci import Document
from lamina.formats.transfer import SMALL, Advice, Delta, Pack
from lamina.linux import filesystem
from lamina.packaging.over import Chain
from lamina.store import packages
from lamina.store.local import LocalStore

_INLINE = 32 << 10  # bytes of a pack that a manifest carries
_PACK = 16 << 20  # bytes that a pack holds, about
_PACKS = 8  # that an advice names
_DELTAS = 64  # that an advice names
_WORTH = 2  # a pack is good as long as one of so many of its blobs is wanted; so is a delta of size


_NONE: Mapping[Digest, Package] = {}
Children = Sequence[tuple[str, Digest]]  # what a document names, with its media type


@dataclass(slots=True)
class Content:
    """Everything that a package is in a repository."""

    documents: list[Document]  # the last is the package
    package: Package
    layers: dict[Digest, None] = field(default_factory=dict)
    known: dict[Digest, tuple[Document, Children]] = field(default_factory=dict)
    parts: dict[Digest, Package] = field(default_factory=dict)  # as `packages.read` has them

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
class Former:
    """What a push before has left in a repository."""

    content: Content | None = None  # of the package that it was
    chain: Chain = Chain()  # what that is an edit of
    names: frozenset[str] = frozenset()  # hashes of blobs and manifests
    layers: Mapping[str, Digest] = field(default_factory=dict)  # by label
    packs: tuple[Pack, ...] = ()
    deltas: tuple[Delta, ...] = ()


@dataclass(frozen=True, slots=True)
class Planned:
    """An advice, and what must be pushed for it."""

    advice: Advice
    packs: tuple[bytes, ...]
    deltas: tuple[Delta, ...]  # new ones, whose blobs are in the store


def content(
    digest: Digest,
    store: LocalStore,
    like: Content | None = None,
    decoded: Mapping[Digest, Package] = _NONE,
) -> Content:
    """What a package consists of, found from its manifest.

    What another one consists of too is not looked at again, nor are packages that are known.
    """
    known = {} if like is None else like.known
    parts = {} if like is None else {**like.parts}
    found: dict[Digest, tuple[Document, Children]] = {}
    layers: dict[Digest, None] = {}

    def add(digest: Digest, media_type: str) -> None:
        document, children = known.get(digest) or _read(digest, media_type, store)
        for kind, child in children:
            if kind in (oci.MANIFEST, oci.INDEX, oci.CONFIG):
                add(child, kind)
            else:
                layers.setdefault(child)
        found.setdefault(digest, (document, children))

    add(digest, oci.media_type(store.read(digest)))
    documents = [document for document, _ in found.values()]
    package = decoded.get(digest) or packages.read(digest, store, parts)
    return Content(documents, package, layers, found, parts)


def _read(digest: Digest, media_type: str, store: LocalStore) -> tuple[Document, Children]:
    document = Document(media_type, store.read(digest), digest)
    return document, tuple(oci.children(document.data)) if document.is_manifest else ()


def advise(content: Content, former: Former, store: LocalStore) -> Planned:
    """What to tell of a package, and what to push for that."""
    wanted = content.small
    kept, alone = _parted(wanted, former)
    root = {content.root.digest: content.root.data}
    store.fetch(alone)
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
    still = [each for each in former.deltas if each.target in content.layers]
    deltas = tuple(_deltas(content, former, store))
    return Planned(Advice(newest, tuple(kept), (*deltas, *still)[:_DELTAS]), tuple(new), deltas)


def news(content: Content, former: Former) -> tuple[Sequence[Digest], ...]:
    """What nodes can be expected to lack of a package: more than that first, then what is least.

    The first serves those too that have a version from before the last. Empty where a blob is new
    that goes into no pack: for that the repository is asked anyhow.
    """
    fresh = {each for each in content.blobs if each.hash not in former.names}
    fresh |= {each.digest for each in content.documents if each.digest.hash not in former.names}
    wanted = content.small | {content.root.digest}
    if not fresh <= wanted:
        return ()
    _, alone = _parted(content.small, former)
    documents = [each.digest for each in content.documents]
    # Documents are alike, so they lie together; the same package gives the same order.
    order = dict.fromkeys([*documents, *sorted(content.layers)])
    least = fresh | {content.root.digest}
    return tuple([each for each in order if each in some] for some in (alone | least, least))


def _parted(wanted: set[Digest], former: Former) -> tuple[list[Pack], set[Digest]]:
    """The packs of the push before that are still good, and what none of them holds."""
    kept = [each for each in former.packs if _is_worth(each, transfer.holds(wanted))]
    return kept, {each for each in wanted if not any(known.has(each) for known in kept)}


def _deltas(content: Content, former: Former, store: LocalStore) -> Iterator[Delta]:
    """Deltas of the layers that have taken the place of others with the same label."""
    for layer in content.package.layers:
        base, blob = former.layers.get(layer.label), layer.blob
        if base is None or blob.hash in former.names or not _can_differ(base, blob):
            continue
        # What lies in a build farm alone would have to come here for it.
        if store.has(base) and not store.far([base, blob]) and delta.is_made():
            with filesystem.temporary_beside(store.scratch / "delta") as temporary:
                delta.make(store.path(base), store.path(blob), temporary)
                if temporary.stat().st_size * _WORTH <= blob.size:
                    yield Delta(store.take(temporary), base, blob)


def _can_differ(base: Digest, blob: Digest) -> bool:
    return all(delta.SMALLEST <= each.size <= delta.LARGEST for each in (base, blob))


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
