"""Packages pushed to a repository and pulled from it: what moves, in how many requests."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError, LaminaError, ServiceError, UserError
from lamina.core.manifest import Layer, Package
from lamina.core.reference import Reference
from lamina.formats import dsse, oci, pack, transfer
from lamina.formats.dsse import Envelope, Signature
from lamina.node.pull import Pulled, pull
from lamina.node.pull import complete as pull_complete
from lamina.packaging.publish import Pushed, push
from lamina.store import packages
from lamina.store.blobs import BlobMissing
from lamina.store.layout import LayoutRepository
from lamina.store.local import LocalStore
from lamina.store.repository import Manifest, NotThere, Rejected
from lamina.store.streams import Distant, Incoming
from lamina.store.trust import signatures


class Counting(LayoutRepository):
    """A folder that counts what would be requests to a registry, and the bytes of the answers."""

    def __init__(self, folder: Path, wanted: str = "") -> None:
        digest = wanted if wanted.startswith("sha256:") else ""
        super().__init__(Reference("", str(folder), "" if digest else wanted, digest))
        self.calls: Counter[str] = Counter()
        self.bytes = 0

    def manifest(self, wanted: str, *, limit: int = 1 << 22) -> Manifest:
        self.calls["get"] += 1
        found = super().manifest(wanted, limit=limit)
        self.bytes += len(found.data)
        return found

    def missing(self, digests: Iterable[Digest]) -> set[Digest]:
        digests = list(digests)
        self.calls["head"] += len(digests)
        return super().missing(digests)

    def read(self, digest: Digest) -> bytes:
        self.calls["get"] += 1
        self.bytes += digest.size
        return super().read(digest)

    def fetch(self, digest: Digest, incoming: Incoming) -> None:
        self.calls["get"] += 1
        self.bytes += digest.size - incoming.size
        super().fetch(digest, incoming)

    def push(
        self, digest: Digest, source: Path | bytes | Distant, *, mount_from: Sequence[str] = ()
    ) -> None:
        self.calls["push"] += 1
        super().push(digest, source, mount_from=mount_from)

    def put_manifest(self, manifest: Manifest, tag: str = "") -> None:
        self.calls["put"] += 1
        super().put_manifest(manifest, tag)


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[LocalStore, LocalStore]]:
    ours, theirs = LocalStore(tmp_path / "ours"), LocalStore(tmp_path / "theirs")
    yield ours, theirs
    ours.close()
    theirs.close()


def package(store: LocalStore, count: int, version: str = "v1", edited: int = -1) -> Digest:
    """A package of so many small layers, one of which may be edited."""
    layers = []
    for number in range(count):
        data = b"layer %d of %s" % (number, version.encode() if number == edited else b"v1") * 200
        layers.append(Layer(f"//p:t{number}", Digest.of(data), store.write(data)))
    return packages.put(Package("p/a", version, "//p:a", tuple(layers), ("a",)), store)


def sent(
    store: LocalStore, digest: Digest, folder: Path, tag: str = "v1"
) -> tuple[Pushed, Counting]:
    repository = Counting(folder, tag)
    return push(digest, store, repository, tag), repository


def brought(store: LocalStore, folder: Path, wanted: str = "v1") -> tuple[Pulled, Counting]:
    repository = Counting(folder, wanted)
    found = pull(repository, store)
    # What a repository reads of its own to answer is no request.
    return found, repository


@pytest.mark.parametrize("count", [1, 8, 48, 49, 127, 600])
def test_a_package_is_the_same_on_the_other_side(
    stores: tuple[LocalStore, LocalStore], tmp_path: Path, count: int
) -> None:
    ours, theirs = stores
    digest = package(ours, count)

    pushed, _ = sent(ours, digest, tmp_path / "r")
    pulled, _ = brought(theirs, tmp_path / "r")

    assert pulled.digest == pushed.digest == digest
    assert pulled.layers == pushed.layers == count
    assert packages.read(digest, theirs) == packages.read(digest, ours)
    assert packages.is_whole(digest, theirs)
    assert packages.resolve("p/a:v1", theirs) == digest
    assert sorted((theirs.folder / "leases").iterdir()) == []


def test_what_comes_takes_no_name_from_what_was_made_here(
    stores: tuple[LocalStore, LocalStore], tmp_path: Path
) -> None:
    ours, theirs = stores
    mine = package(theirs, 3)
    edited = package(ours, 4)
    sent(ours, edited, tmp_path / "r")

    pulled, _ = brought(theirs, tmp_path / "r")

    assert pulled.name == f"p/a@{edited.oci}"
    assert packages.resolve("p/a:v1", theirs) == packages.resolve("p/a", theirs) == mine
    assert packages.resolve(pulled.name, theirs) == edited


def test_an_edit_sends_only_what_is_new(
    stores: tuple[LocalStore, LocalStore], tmp_path: Path
) -> None:
    ours, _ = stores
    sent(ours, package(ours, 600), tmp_path / "r")

    pushed, repository = sent(ours, package(ours, 600, "v2", 300), tmp_path / "r", "v2")

    assert pushed.layers == 1
    assert repository.calls["head"] == 0  # little is sooner sent than asked for
    assert repository.calls["push"] == pushed.blobs <= 3  # the layer, and two configs
    assert repository.calls["put"] <= 5


def test_an_edit_comes_in_two_requests_and_few_bytes(
    stores: tuple[LocalStore, LocalStore], tmp_path: Path
) -> None:
    ours, theirs = stores
    sent(ours, package(ours, 1000), tmp_path / "r")
    brought(theirs, tmp_path / "r")
    sent(ours, package(ours, 1000, "v2", 300), tmp_path / "r", "v2")

    pulled, repository = brought(theirs, tmp_path / "r", "v2")

    assert pulled.layers == 1
    assert answers(repository) == 2
    assert repository.bytes <= 2 * (64 << 10)


def answers(repository: Counting) -> int:
    """Requests: a folder reads a manifest's blob to answer."""
    return repository.calls["get"] // 2


def test_by_its_digest_an_edit_comes_in_one_request(
    stores: tuple[LocalStore, LocalStore], tmp_path: Path
) -> None:
    ours, theirs = stores
    sent(ours, package(ours, 1000), tmp_path / "r")
    brought(theirs, tmp_path / "r")
    new = package(ours, 1000, "v2", 300)
    sent(ours, new, tmp_path / "r", "v2")

    pulled, repository = brought(theirs, tmp_path / "r", new.oci)

    assert (pulled.layers, answers(repository)) == (1, 1)


def test_many_small_layers_come_together(
    stores: tuple[LocalStore, LocalStore], tmp_path: Path
) -> None:
    ours, theirs = stores
    sent(ours, package(ours, 127), tmp_path / "r")

    pulled, repository = brought(theirs, tmp_path / "r")

    assert pulled.layers == 127
    assert repository.calls["get"] <= 12


def test_what_is_here_is_not_asked_for(
    stores: tuple[LocalStore, LocalStore], tmp_path: Path
) -> None:
    ours, theirs = stores
    digest = package(ours, 127)
    sent(ours, digest, tmp_path / "r")
    brought(theirs, tmp_path / "r")

    pulled, repository = brought(theirs, tmp_path / "r", digest.oci)

    assert (pulled.blobs, repository.calls["get"]) == (0, 0)


@pytest.mark.parametrize("count", [8, 127])
def test_without_advice_each_blob_is_asked_for(
    stores: tuple[LocalStore, LocalStore], tmp_path: Path, count: int
) -> None:
    ours, theirs = stores
    digest = package(ours, count)
    sent(ours, digest, tmp_path / "r")
    index = json.loads((tmp_path / "r/index.json").read_bytes())
    index["manifests"] = [
        each for each in index["manifests"]
        if not str(each.get("annotations", {})).count("lamina")
    ]  # fmt: skip
    (tmp_path / "r/index.json").write_text(json.dumps(index))

    brought(theirs, tmp_path / "r")

    assert packages.is_whole(digest, theirs)


@pytest.mark.parametrize(
    "newest", [b"", b"nonsense", pack.encode({Digest.of(b"x"): b"y"}), pack.encode({})]
)
def test_a_wrong_advice_does_no_harm(
    stores: tuple[LocalStore, LocalStore], tmp_path: Path, newest: bytes
) -> None:
    ours, theirs = stores
    digest = package(ours, 127)
    _, repository = sent(ours, digest, tmp_path / "r")
    every = transfer.Pack(
        Digest("a" * 64, 3), frozenset(bytes([b, *c]) for b in range(256) for c in [b"abc"])
    )
    (tmp_path / "r/blobs/sha256" / every.blob.hash).write_bytes(b"bad")
    advice = transfer.encode(transfer.Advice(newest, (every,)))
    LayoutRepository.put_manifest(
        repository, Manifest(advice.data, advice.media_type), transfer.tag(digest.hash)
    )

    brought(theirs, tmp_path / "r")

    assert packages.is_whole(digest, theirs)


def test_a_repository_that_lost_its_blobs_gets_them_again(
    stores: tuple[LocalStore, LocalStore], tmp_path: Path
) -> None:
    ours, theirs = stores
    digest = package(ours, 60)
    sent(ours, digest, tmp_path / "r")
    for path in (tmp_path / "r/blobs/sha256").iterdir():
        path.unlink()

    new = package(ours, 60, "v2", 3)
    pushed, _ = sent(ours, new, tmp_path / "r", "v2")

    assert pushed.layers >= 59  # one may have been sent before the repository told
    brought(theirs, tmp_path / "r", "v2")
    assert packages.is_whole(new, theirs)


def test_packs_are_made_anew_when_little_of_them_is_wanted(
    stores: tuple[LocalStore, LocalStore], tmp_path: Path
) -> None:
    ours, theirs = stores
    found = None
    for version in range(30):
        layers = tuple(
            Layer(f"//p:t{number}", Digest.of(data), ours.write(data))
            for number in range(20)
            for data in [
                b"%d %d" % (number, version) + Digest.of(b"%d" % number).hash.encode() * 99
            ]
        )
        found = packages.put(Package("p/a", f"v{version}", "//p:a", layers, ("a",)), ours)
        sent(ours, found, tmp_path / "r", f"v{version}")

    assert found is not None
    advice = transfer.decode(Counting(tmp_path / "r").manifest(transfer.tag(found.hash)).data)
    assert len(advice.packs) <= 8
    _, repository = brought(theirs, tmp_path / "r", found.oci)
    assert repository.calls["get"] <= 6


def test_a_blob_that_is_gone_here_cannot_be_pushed(
    stores: tuple[LocalStore, LocalStore], tmp_path: Path
) -> None:
    ours, _ = stores
    digest = package(ours, 3)
    ours.path(packages.read(digest, ours).layers[1].blob).unlink()

    with pytest.raises(BlobMissing):
        sent(ours, digest, tmp_path / "r")
    with pytest.raises(NotThere):
        Counting(tmp_path / "r").manifest("v1")


def test_an_image_of_another_kind_is_no_package(
    stores: tuple[LocalStore, LocalStore], tmp_path: Path
) -> None:
    _, theirs = stores
    repository = Counting(tmp_path / "r", "v1")
    config = b"{}"
    repository.push(Digest.of(config), config)
    document = {
        "schemaVersion": 2,
        "config": {"mediaType": "x", "digest": Digest.of(config).oci, "size": 2},
        "layers": [],
    }
    repository.put_manifest(Manifest(json.dumps(document).encode(), oci.MANIFEST), "v1")

    with pytest.raises(UserError, match="is no lamina package"):
        pull(repository, theirs)


def test_wrong_bytes_are_not_kept(stores: tuple[LocalStore, LocalStore], tmp_path: Path) -> None:
    ours, theirs = stores
    layer = ours.write(bytes(1 << 20))
    digest = packages.put(Package("p/a", "v1", "//p:a", (Layer("//p:a", layer, layer),)), ours)
    sent(ours, digest, tmp_path / "r")
    path = tmp_path / "r/blobs/sha256" / layer.hash
    path.unlink()
    path.write_bytes(bytes((1 << 20) - 1) + b"x")

    with pytest.raises(IntegrityError):
        brought(theirs, tmp_path / "r")

    assert not theirs.has(layer)
    assert not theirs.has(digest)
    assert not (theirs.folder / "partial" / layer.hash).exists()


def test_a_large_layer_goes_on_where_it_stopped(
    stores: tuple[LocalStore, LocalStore], tmp_path: Path
) -> None:
    ours, theirs = stores
    layer = ours.write(bytes(1 << 20))
    digest = packages.put(Package("p/a", "v1", "//p:a", (Layer("//p:a", layer, layer),)), ours)
    sent(ours, digest, tmp_path / "r")
    (theirs.folder / "partial").mkdir()
    (theirs.folder / "partial" / layer.hash).write_bytes(bytes(1000_000))

    _, repository = brought(theirs, tmp_path / "r")

    assert theirs.has(layer)
    assert repository.bytes < 100_000


def upgraded(store: LocalStore) -> tuple[Digest, Digest]:
    """Two versions of a package with one large layer that differs a little."""
    found = []
    for version in (b"1", b"2"):
        noise = b"".join(Digest.of(b"%d" % number).hash.encode() for number in range(40_000))
        blob = store.write(noise[: 1 << 20] + version * 1000 + noise[1 << 20 :])
        layers = (Layer("//third_party:large", Digest.of(version), blob),)
        found.append(packages.put(Package("p/a", f"v{version.decode()}", "//p:a", layers), store))
    return found[0], found[1]


def test_a_large_layer_that_changed_a_little_comes_as_a_delta(
    stores: tuple[LocalStore, LocalStore], tmp_path: Path
) -> None:
    ours, theirs = stores
    first, second = upgraded(ours)
    sent(ours, first, tmp_path / "r", "v1")
    brought(theirs, tmp_path / "r", "v1")
    sent(ours, second, tmp_path / "r", "v2")

    pulled, repository = brought(theirs, tmp_path / "r", "v2")

    assert pulled.layers == 1
    assert packages.is_whole(second, theirs)
    assert repository.bytes < 100_000
    assert not list((theirs.folder / "partial").glob("?" * 64))


@pytest.mark.parametrize("how", ["nothing here", "damaged base", "damaged delta", "delta gone"])
def test_without_a_good_delta_the_whole_layer_comes(
    stores: tuple[LocalStore, LocalStore], tmp_path: Path, how: str
) -> None:
    ours, theirs = stores
    first, second = upgraded(ours)
    sent(ours, first, tmp_path / "r", "v1")
    sent(ours, second, tmp_path / "r", "v2")
    told = transfer.decode(Counting(tmp_path / "r").manifest(transfer.tag(second.hash)).data)
    [known] = told.deltas
    blob = tmp_path / "r/blobs/sha256" / known.blob.hash
    if how != "nothing here":
        brought(theirs, tmp_path / "r", "v1")
    if how == "damaged base":
        theirs.path(known.base).chmod(0o644)
        theirs.path(known.base).write_bytes(bytes(known.base.size))
    elif how.startswith("d"):
        blob.unlink()
        if how == "damaged delta":
            blob.write_bytes(bytes(known.blob.size))

    brought(theirs, tmp_path / "r", "v2")

    assert theirs.read(known.target) == ours.read(known.target)


def test_a_tag_that_moves_is_the_last_one(
    stores: tuple[LocalStore, LocalStore], tmp_path: Path
) -> None:
    ours, theirs = stores
    first, second = package(ours, 3), package(ours, 3, "v2", 1)
    sent(ours, first, tmp_path / "r", "main")
    sent(ours, second, tmp_path / "r", "main")

    assert brought(theirs, tmp_path / "r", "main")[0].digest == second
    assert Counting(tmp_path / "r").tags().count("main") == 1


def test_signatures_go_along_and_cost_nothing_where_there_are_none(
    stores: tuple[LocalStore, LocalStore], tmp_path: Path
) -> None:
    ours, _ = stores
    digest = package(ours, 60)
    before, _ = sent(ours, digest, tmp_path / "r")
    envelope = Envelope("text/plain", b"x", (Signature(b"s"),))
    signed = signatures.put(digest, oci.INDEX, dsse.encode(envelope))
    signatures.keep(digest, [signed], ours)

    after, repository = sent(ours, digest, tmp_path / "r")

    assert (before.signatures, after.signatures) == (0, 1)
    assert signatures.fetch(digest, repository).signatures == (signed,)
    assert (repository.calls["push"], repository.calls["put"]) == (1, 3)


class Slow(Counting):
    """A repository that takes nothing until it is let, or then refuses it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.may_go_on = threading.Event()
        self.fault: Exception | None = None

    def push(
        self, digest: Digest, source: Path | bytes | Distant, *, mount_from: Sequence[str] = ()
    ) -> None:
        self._wait()
        super().push(digest, source, mount_from=mount_from)

    def put_manifest(self, manifest: Manifest, tag: str = "") -> None:
        self._wait()
        super().put_manifest(manifest, tag)

    def _wait(self) -> None:
        assert self.may_go_on.wait(30)
        fault, self.fault = self.fault, None
        if fault is not None:
            raise fault


@pytest.mark.parametrize("node", ["has nothing", "has the version before"])
def test_nodes_can_start_an_edit_before_all_of_it_is_sent(
    stores: tuple[LocalStore, LocalStore], tmp_path: Path, node: str
) -> None:
    ours, theirs = stores
    sent(ours, package(ours, 200), tmp_path / "r")
    if node == "has the version before":
        brought(theirs, tmp_path / "r")
    edited = package(ours, 200, "v2", 77)
    repository = Slow(tmp_path / "r")
    seen = []

    def early(pushed: Pushed) -> None:
        at_hand = {each: ours.read(each) for each in pushed.news[0]}
        there = Counting(tmp_path / "r", edited.oci)
        pull_complete(there.reference, lambda: there, theirs, at_hand)
        seen.append(packages.is_whole(edited, theirs))
        repository.may_go_on.set()

    pushed = push(edited, ours, repository, "v2", early=early)

    assert seen == [True]
    assert pushed.layers == 1
    assert brought(theirs, tmp_path / "r", "v2")[0].digest == edited


@pytest.mark.parametrize("why", ["the first", "much is new", "signed"])
def test_where_nodes_need_all_of_a_push_they_wait(
    stores: tuple[LocalStore, LocalStore],
    tmp_path: Path,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, _ = stores
    digest = package(ours, 60)
    if why != "the first":
        sent(ours, digest, tmp_path / "r")
        digest = package(ours, 60, "v2", 3)
    if why == "much is new":
        monkeypatch.setattr("lamina.packaging.publish._SOON", 100)
    if why == "signed":
        envelope = Envelope("text/plain", b"x", (Signature(b"s"),))
        signatures.keep(digest, [signatures.put(digest, oci.INDEX, dsse.encode(envelope))], ours)

    def early(_pushed: Pushed) -> None:
        raise AssertionError("too early")

    pushed = push(digest, ours, Counting(tmp_path / "r"), "v2", early=early)

    assert brought(stores[1], tmp_path / "r", "v2")[0].digest == pushed.digest


@pytest.mark.parametrize("fault", [ServiceError("gone"), Rejected("what it names is not there")])
def test_a_push_that_fails_after_that_says_so(
    stores: tuple[LocalStore, LocalStore], tmp_path: Path, fault: LaminaError
) -> None:
    ours, theirs = stores
    sent(ours, package(ours, 60), tmp_path / "r")
    edited = package(ours, 60, "v2", 3)
    repository = Slow(tmp_path / "r")
    repository.fault = fault
    seen = []

    def early(pushed: Pushed) -> None:
        seen.append(pushed.digest)
        repository.may_go_on.set()

    if isinstance(fault, Rejected):  # then all of it is sent
        push(edited, ours, repository, "v2", early=early)
        assert brought(theirs, tmp_path / "r", "v2")[0].digest == edited
    else:
        with pytest.raises(ServiceError, match="gone"):
            push(edited, ours, repository, "v2", early=early)
    assert seen == [edited]
