"""Pulls packages: the manifest, then what this machine lacks of the blobs that it names.

Many small blobs come together, as the advice beside a package tells (`formats/transfer`), and
large ones that are much like what is here as deltas; the others each by its own request, several
at once. What is at hand already, as it came with a job, is not asked for; where that is all, the
repository is not even opened. One process at a time pulls a package, and others that want it find
everything there. Nothing is kept before it has been compared with its digest, and the package's own
manifest comes last: what has that is whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from io import BytesIO

from lamina.core import parallel
from lamina.core.classes import dataclass
from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError, UserError
from lamina.core.reference import Reference
from lamina.formats import delta, oci, pack, transfer
from lamina.formats.transfer import SMALL, Advice, Delta, Pack
from lamina.store import leases, packages
from lamina.store.leases import Lease
from lamina.store.local import LocalStore
from lamina.store.partial import Partials, Turn
from lamina.store.repository import NotThere, Repository
from lamina.store.streams import Incoming
from lamina.store.whole import Whole

_AT_ONCE = 8  # blobs under way
_FEW = 4  # so few small blobs are asked for one by one
_WORTH = 4  # a pack is fetched if one byte in so many is wanted
_DEPTH = 4  # of documents that name documents
_MOST = 200_000  # blobs of a package
_DOCUMENTS = (oci.MANIFEST, oci.INDEX, oci.CONFIG)

Planned = Callable[[Iterable[Digest]], None]  # what will be asked for
Moved = Callable[[Digest, int], None]  # a blob, and its bytes that have just come


@dataclass(frozen=True, slots=True)
class Pulled:
    """A package that is here now, and what came for that."""

    digest: Digest  # of its manifest
    name: str  # what it is called here: `name:version`, or by its digest where that is taken
    blobs: int  # that were not here before
    size: int  # bytes of these
    layers: int  # that are among them


def pull(
    repository: Repository,
    store: LocalStore,
    *,
    planned: Planned = lambda _digests: None,
    moved: Moved = lambda _digest, _size: None,
) -> Pulled:
    """Bring the package that the repository's reference names into the store, and name it there.

    Raises UserError where it names no package, IntegrityError where that is malformed, and what the
    repository raises.
    """
    return complete(repository.reference, lambda: repository, store, planned=planned, moved=moved)


def complete(
    reference: Reference,
    opened: Callable[[], Repository],
    store: LocalStore,
    at_hand: Mapping[Digest, bytes] | None = None,
    *,
    planned: Planned = lambda _digests: None,
    moved: Moved = lambda _digest, _size: None,
) -> Pulled:
    """The same for a repository that is opened once something has to be asked of it.

    `at_hand` are blobs by their digests, which are used where the package has them.
    """
    puller = _Puller(reference, opened, store, planned, moved)
    puller.staged.update(at_hand or {})
    wanted = reference.digest
    if not wanted:
        manifest = opened().manifest(reference.wanted)
        puller.staged[manifest.digest] = manifest.data
        wanted = manifest.digest.oci
    with (
        Partials(store).turn(wanted.removeprefix("sha256:"), planned, moved) as turn,
        leases.leased(store.folder) as lease,
    ):
        return puller.pull(wanted, lease, turn)


class _Puller:
    """Pulls one package."""

    def __init__(
        self,
        reference: Reference,
        opened: Callable[[], Repository],
        store: LocalStore,
        planned: Planned,
        moved: Moved,
    ) -> None:
        self._reference = reference
        self._opened = opened
        self._store = store
        self._partials = Partials(store)
        self._planned = planned
        self._moved = moved
        self._advice: Advice | None = None
        self.staged: dict[Digest, bytes] = {}  # compared with their digests, not in the store yet

    def pull(self, wanted: str, lease: Lease, turn: Turn) -> Pulled:
        root = self._root(wanted)
        data = self._document(root)
        if not oci.is_package(data):
            raise UserError(
                f"`{self._reference}` is no lamina package",
                hint="`lamina copy` copies images of other kinds",
            )
        documents, layers, whole = self._content(root, lease)
        package = oci.decode_head(data, self._document)
        lease.add([root, *documents, *layers])
        lacking = self._store.missing([root, *documents, *layers])
        for digest in lacking:
            # What is here was looked at when it came.
            if documents.get(digest) == oci.MANIFEST or digest == root:
                self._check(self._document(digest))
        turn.tell(lacking & layers.keys())
        self._fetch(root, lacking & layers.keys())
        for digest in documents:
            if digest in lacking:
                self._store.write(self._document(digest))
        # The package's own manifest is the last: also what a power cut leaves is whole if it is.
        self._store.settle(lacking - {root})
        if root in lacking:
            self._store.write(self._document(root))
            self._store.settle([root])
        whole.add(
            (each for each, kind in documents.items() if kind == oci.MANIFEST), self._store.scratch
        )
        is_named = packages.name_if_free(package, root, self._store)
        size = sum(each.size for each in lacking)
        name = f"{package.name}:{package.version}" if is_named else f"{package.name}@{root.oci}"
        return Pulled(root, name, len(lacking), size, len(lacking & layers.keys()))

    def _check(self, manifest: bytes) -> None:
        if oci.media_type(manifest) == oci.MANIFEST:
            oci.check_run(manifest, self._document(oci.config_of(manifest)))

    def _root(self, wanted: str) -> Digest:
        """The digest of the package's manifest, which is at hand then."""
        hexadecimal = wanted.removeprefix("sha256:")
        known = self._store.find(hexadecimal) or self._staged_as(hexadecimal)
        if known is None:
            self._ask_for_advice(hexadecimal)
            known = self._staged_as(hexadecimal)
        if known is None:
            manifest = self._opened().manifest(wanted)
            known = manifest.digest
            self.staged[known] = manifest.data
        return known

    def _staged_as(self, hexadecimal: str) -> Digest | None:
        return next((each for each in self.staged if each.hash == hexadecimal), None)

    def _content(
        self, root: Digest, lease: Lease
    ) -> tuple[dict[Digest, str], dict[Digest, None], Whole]:
        """The documents below a package's manifest, each with its kind, and the layers.

        Without what lies below manifests that are known to be whole, unless the package itself is
        here: then something may be amiss.
        """
        documents: dict[Digest, str] = {}
        layers: dict[Digest, None] = {}
        whole: Whole | None = None
        level = [root]
        for _ in range(_DEPTH):
            below: dict[Digest, str] = {}
            for digest in level:
                for kind, child in oci.children(self._document(digest)):
                    if kind in _DOCUMENTS:
                        below[child] = kind
                    else:
                        layers[child] = None
            if len(documents) + len(below) + len(layers) > _MOST:
                raise IntegrityError(f"a package of more than {_MOST} blobs")
            self._stage(root, below)
            documents |= below
            level = [digest for digest, kind in below.items() if kind != oci.CONFIG]
            lease.add_content(level)
            if whole is None:  # what it tells holds for what is leased
                whole = Whole(self._store.folder)
            if not self._store.has(root):
                level = [each for each in level if each not in whole or not self._store.has(each)]
            if not level:
                return documents, layers, whole
        raise IntegrityError("a package whose manifests name manifests, again and again")

    def _stage(self, root: Digest, documents: dict[Digest, str]) -> None:
        """Have documents at hand, with all that comes in the same packs."""
        if not (lacking := self._lacking(documents)):
            return
        self._ask_for_advice(root.hash)
        lacking = self._lacking(documents)
        if 2 * len(lacking) > len(documents):
            # Most of the package is not here: most of what lies beside its documents is wanted.
            self._unpack([each for each in self._packs if any(map(each.has, lacking))])
            lacking = self._lacking(documents)
        work = [partial(self._read, each, documents[each]) for each in lacking]
        self.staged.update(zip(lacking, parallel.run(work, _AT_ONCE), strict=True))

    def _read(self, digest: Digest, kind: str) -> bytes:
        if kind == oci.CONFIG:
            return self._opened().read(digest)
        return self._opened().manifest(digest.oci, limit=digest.size).data

    def _fetch(self, root: Digest, lacking: set[Digest]) -> None:
        """Bring layers into the store."""
        self._planned(lacking)
        alone = self._lacking(lacking)
        if not alone and len(lacking) <= _FEW:
            for each in lacking:
                self._keep(each)
            return
        if _may_be_advised(alone):
            self._ask_for_advice(root.hash)
        small = {each for each in self._lacking(lacking) if each.size <= SMALL}
        self._unpack([each for each in self._packs if _is_worth(each, small)])
        alone = self._lacking(lacking)
        # The largest first: else the last of them keeps one connection busy at the end.
        work = [partial(self._fetch_alone, each) for each in sorted(alone, key=_by_size)]
        work += [partial(self._keep, each) for each in lacking if each in self.staged]
        parallel.run(work, _AT_ONCE)

    def _fetch_alone(self, digest: Digest) -> None:
        told = partial(self._moved, digest)
        for known in self._advice.deltas if self._advice is not None else ():
            if known.target == digest and self._is_good(known):
                try:
                    self._partials.fetch(digest, partial(self._patch, known), told)
                    return
                except (NotThere, IntegrityError):
                    continue  # the whole of it is as good
        self._partials.fetch(digest, partial(self._opened().fetch, digest), told)

    def _is_good(self, known: Delta) -> bool:
        sizes = (known.base.size, known.target.size)
        return (
            max(sizes) <= delta.LARGEST
            and known.blob.size < known.target.size
            and self._store.has(known.base)
        )

    def _patch(self, known: Delta, incoming: Incoming) -> None:
        """Let a blob arrive as what a delta makes of another one."""
        data = self._opened().read(known.blob)
        incoming.restart()
        for piece in delta.apply(self._store.path(known.base), BytesIO(data), known.target.size):
            incoming.write(piece)

    def _keep(self, digest: Digest) -> None:
        self._store.write(self.staged[digest])
        self._moved(digest, digest.size)

    @property
    def _packs(self) -> tuple[Pack, ...]:
        return self._advice.packs if self._advice is not None else ()

    def _ask_for_advice(self, package: str) -> None:
        if self._advice is not None:
            return
        self._advice = Advice(b"")
        try:
            found = self._opened().manifest(transfer.tag(package))
            advice = transfer.decode(found.data)
            self.staged |= pack.decode(BytesIO(advice.newest), _LARGEST_DOCUMENT)
            self._advice = advice
        except (NotThere, IntegrityError):
            return  # each blob is asked for by its own name, and compared with that

    def _unpack(self, packs: Iterable[Pack]) -> None:
        for each in packs:
            if each.blob.size > pack.MOST:
                continue  # none of ours
            try:
                data = self._opened().read(each.blob)
                self.staged |= pack.decode(BytesIO(data), SMALL)
            except (NotThere, IntegrityError):
                continue  # what it holds is asked for by name

    def _lacking(self, digests: Iterable[Digest]) -> list[Digest]:
        return [each for each in digests if each not in self.staged and not self._store.has(each)]

    def _document(self, digest: Digest) -> bytes:
        data = self.staged.get(digest)
        return self._store.read(digest) if data is None else data


_LARGEST_DOCUMENT = 1 << 22  # bytes of a manifest that comes in a pack


def _is_worth(found: Pack, wanted: Iterable[Digest]) -> bool:
    held = [each.size for each in wanted if found.has(each)]
    return len(held) > _FEW and sum(held) * _WORTH >= found.blob.size


def _may_be_advised(lacking: Sequence[Digest]) -> bool:
    """Whether there may be packs or deltas that spare something."""
    few = sum(each.size <= SMALL for each in lacking) <= _FEW
    return not few or any(each.size >= delta.SMALLEST for each in lacking)


def _by_size(digest: Digest) -> int:
    return -digest.size
