"""Pulls of large packages: what is not looked at again, and that nothing is missed by that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lamina.core.digest import Digest
from lamina.core.manifest import Layer, Package
from lamina.core.reference import Reference
from lamina.node import pull
from lamina.node.pull import Pulled
from lamina.packaging import publish
from lamina.store import gc, leases, packages
from lamina.store.gc import Bounds
from lamina.store.layout import LayoutRepository
from lamina.store.local import LocalStore

COUNT = 100  # layers: so many make several runs


class Nodes:
    """A machine that packages, a folder as repository, and the store of a node."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.source = LocalStore(folder / "source")
        self.node = LocalStore(folder / "node")

    def push(self, version: str, edited: int = -1) -> Digest:
        """Push a package; one layer holds the version."""
        layers = []
        for number in range(COUNT):
            text = f"layer {number}" + (f" of {version}" if number == edited else "")
            blob = self.source.write(text.encode())
            layers.append(Layer(f"//p:t{number}", blob, blob))
        made = Package("p/a", version, "//p:a", tuple(layers), ("a",))
        digest = packages.put(made, self.source)
        publish.push(digest, self.source, self._repository(version), version)
        return digest

    def pull(self, version: str) -> Pulled:
        return pull.pull(self._repository(version), self.node)

    def _repository(self, version: str) -> LayoutRepository:
        return LayoutRepository(Reference("", str(self._folder / "repository"), tag=version))

    def layer(self, digest: Digest, number: int) -> Path:
        """Where the node has a layer."""
        return self.node.path(packages.read(digest, self.node).layers[number].blob)


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    found = Nodes(tmp_path)
    yield found
    found.source.close()
    found.node.close()


def test_an_edit_is_one_layer_and_few_documents(nodes: Nodes) -> None:
    nodes.push("v1")
    nodes.pull("v1")
    digest = nodes.push("v2", edited=50)

    found = nodes.pull("v2")

    assert (found.digest, found.layers) == (digest, 1)
    assert found.blobs < 10
    assert packages.is_whole(digest, nodes.node)


def test_layers_of_runs_that_are_whole_are_not_looked_at(nodes: Nodes) -> None:
    """One that somebody has removed by hand is not noticed, until the package is pulled again."""
    first = nodes.push("v1")
    nodes.pull("v1")
    second = nodes.push("v2", edited=99)
    nodes.layer(first, 0).unlink()

    nodes.pull("v2")

    assert not packages.is_whole(second, nodes.node)
    assert nodes.pull("v2").layers == 1
    assert packages.is_whole(second, nodes.node)


@pytest.mark.parametrize("most", [0, 200_000])
def test_what_was_collected_is_fetched_again(nodes: Nodes, most: int) -> None:
    nodes.push("v1")
    nodes.pull("v1")
    second = nodes.push("v2", edited=50)
    gc.sweep(nodes.node, Bounds(most=most))

    nodes.pull("v2")

    assert packages.is_whole(second, nodes.node)


def test_a_lease_on_a_manifest_holds_what_it_names(nodes: Nodes) -> None:
    digest = nodes.push("v1")
    nodes.pull("v1")

    with leases.leased(nodes.node.folder) as lease:
        lease.add_content([digest])
        gc.sweep(nodes.node, Bounds(most=0))
        assert packages.is_whole(digest, nodes.node)
    gc.sweep(nodes.node, Bounds(most=0))
    assert nodes.node.find(digest.hash) is None
