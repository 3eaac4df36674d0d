"""What comes with a job is a help: with it nothing is asked for, without it nothing is wrong."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

import pytest

from lamina.core.digest import Digest
from lamina.core.manifest import Layer, Package
from lamina.core.reference import Reference
from lamina.formats.transfer import SMALL
from lamina.node import carried, pull, warm
from lamina.node.pull import Pulled
from lamina.packaging import publish
from lamina.store import packages
from lamina.store.layout import LayoutRepository
from lamina.store.local import LocalStore

NOISE = random.Random(3).randbytes(1 << 17)


class Site:
    """A machine that packages and submits, a folder as repository, and the store of a node."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ours = LocalStore(folder / "ours")
        self.node = LocalStore(folder / "node")
        self.opened = 0

    def submit(self, layers: Mapping[str, bytes]) -> tuple[Digest, str]:
        """Push a package of some layers; what travels with a job of it."""
        version = f"v{Digest.of(repr(layers).encode()).short}"
        made = [
            Layer(f"//p:{name}", Digest.of(data), self.ours.write(data))
            for name, data in layers.items()
        ]
        package = Package("p/a", version, "//p:a", tuple(made), ("a",))
        digest = packages.put(package, self.ours)
        planned = publish.planned(digest, self.ours, self._repository("").reference)
        pushed = publish.push(digest, self.ours, self._repository(version), version)
        assert (pushed.news, pushed.edit) == (planned.news, planned.edit)  # of `--dry-run`
        return digest, publish.carried(package, pushed, self.ours)

    def start(self, digest: Digest, text: str) -> Pulled:
        """Let the node have a package, as a task of a job does."""
        return self.complete(digest, carried.blobs(text, _refuse))

    def complete(self, digest: Digest, at_hand: Mapping[Digest, bytes]) -> Pulled:
        """The same with some blobs."""
        self.opened = 0
        reference = Reference("", str(self._folder / "repository"), digest=digest.oci)
        return pull.complete(reference, self._open, self.node, at_hand)

    def _open(self) -> LayoutRepository:
        self.opened += 1
        return self._repository("")

    def _repository(self, tag: str) -> LayoutRepository:
        return LayoutRepository(Reference("", str(self._folder / "repository"), tag=tag))


def _refuse(text: str) -> NoReturn:
    raise AssertionError(text)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    found = Site(tmp_path)
    yield found
    found.ours.close()
    found.node.close()


def layers(count: int, **edited: str) -> dict[str, bytes]:
    """Small layers, and a large one that never changes."""
    found = {f"t{number}": f"layer {number}".encode() * 50 for number in range(count)}
    return found | {"large": NOISE} | {name: text.encode() for name, text in edited.items()}


@pytest.mark.parametrize("count", [1, 8, 100, 400])
def test_after_an_edit_nothing_is_asked_for(site: Site, count: int) -> None:
    first, text = site.submit(layers(count))
    assert text == ""  # the large one has to be fetched
    site.start(first, text)
    assert site.opened

    second, text = site.submit(layers(count, t0="edited"))
    found = site.start(second, text)

    assert (found.digest, found.layers) == (second, 1)
    assert not site.opened
    assert packages.is_whole(second, site.node)
    assert packages.read(second, site.node) == packages.read(second, site.ours)
    assert packages.resolve(found.name, site.node) == second
    assert sorted((site.node.folder / "leases").iterdir()) == []


def test_who_has_a_version_from_before_the_last_asks_for_nothing(site: Site) -> None:
    first, text = site.submit(layers(100))
    site.start(first, text)
    for number in range(5):
        site.submit(layers(100, t3=f"edited {number}"))
    last, text = site.submit(layers(100, t3="edited 4", t70="too"))

    site.start(last, text)

    assert not site.opened
    assert packages.is_whole(last, site.node)


def test_what_is_submitted_again_comes_again(site: Site) -> None:
    first, text = site.submit(layers(100))
    site.start(first, text)
    site.submit(layers(100, t1="edited"))

    second, text = site.submit(layers(100, t1="edited"))
    site.start(second, text)

    assert not site.opened


def test_a_small_package_comes_as_a_whole(site: Site) -> None:
    digest, text = site.submit({"a": b"one", "b": b"two"})

    found = site.start(digest, text)

    assert (found.layers, site.opened) == (2, 0)


def test_a_node_without_anything_asks_for_the_rest(site: Site) -> None:
    site.submit(layers(100))
    digest, text = site.submit(layers(100, t1="edited"))
    assert text

    found = site.start(digest, text)

    assert (found.layers, packages.is_whole(digest, site.node)) == (101, True)
    assert 0 < site.opened < 20  # by the advice, not one by one


def test_a_new_layer_that_goes_into_no_pack_lets_nothing_come(site: Site) -> None:
    site.submit(layers(8))
    more = layers(8, t1="edited") | {"new": NOISE[: SMALL + 1]}

    assert site.submit(more)[1] == ""


def test_where_all_is_too_much_the_last_edit_comes(site: Site) -> None:
    site.submit(layers(8))
    site.submit(layers(8) | {"t1": NOISE[:20_000]})
    first, second = NOISE[:20_000], NOISE[20_000:55_000]
    digest, text = site.submit(layers(8) | {"t1": first, "t2": second})

    came = carried.blobs(text, _refuse)

    assert second in came.values()
    assert first not in came.values()
    assert digest in came


@pytest.mark.parametrize("seed", range(4))
def test_any_part_of_it_is_a_help(site: Site, seed: int) -> None:
    first, text = site.submit(layers(100))
    site.start(first, text)
    second, text = site.submit(layers(100, t0="edited", t99="too"))
    chance = random.Random(seed)
    came = carried.blobs(text, _refuse)
    some = {each: data for each, data in came.items() if chance.random() < 0.5}

    found = site.complete(second, some)

    assert (found.digest, found.layers) == (second, 2)
    assert packages.is_whole(second, site.node)


def test_what_nobody_wants_is_not_kept(site: Site) -> None:
    first, text = site.submit(layers(8))
    site.start(first, text)
    second, text = site.submit(layers(8, t0="edited"))
    other = b"whatever else came"
    came = {**carried.blobs(text, _refuse), Digest.of(other): other}

    site.complete(second, came)

    assert not site.opened
    assert not site.node.has(Digest.of(other))


def test_of_another_package_it_is_nothing(site: Site) -> None:
    digest, _ = site.submit(layers(8))
    _, text = site.submit({"a": b"one"})

    site.start(digest, text)

    assert site.opened
    assert packages.is_whole(digest, site.node)


def test_what_cannot_be_read_is_told_and_is_nothing() -> None:
    said: list[str] = []

    assert carried.blobs("1:none of ours", said.append) == {}
    assert carried.blobs("", said.append) == {}
    assert len(said) == 1
    assert said[0].startswith("blobs that came with a job are damaged")
    assert said[0].endswith("; the registry is asked")


def test_a_variable_is_taken_once() -> None:
    environment = {carried.VARIABLE: "1:x", "A": "b"}

    assert carried.taken(environment) == "1:x"
    assert environment == {"A": "b"}
    assert carried.taken(environment) == ""
    assert carried.VARIABLE == warm._CARRIED
