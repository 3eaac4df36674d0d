"""Packages and layers: the names that people see."""

from __future__ import annotations

import pytest

from lamina.core.digest import Digest
from lamina.core.manifest import Layer, Package, is_version

TREE = Digest("fedcba9876543210" * 4, 80)


def layer(label: str, size: int = 0) -> Layer:
    return Layer(label, TREE, Digest("0" * 64, size))


@pytest.mark.parametrize(
    ("label", "title"),
    [
        ("//train:model", "model-fedcba987654.xar"),
        ("//:F", "F-fedcba987654.xar"),
        ("//train:data/part", "data_part-fedcba987654.xar"),
    ],
)
def test_a_layer_is_called_after_its_target_and_tree(label: str, title: str) -> None:
    assert layer(label).title == title


@pytest.mark.parametrize(("name", "title"), [("train/gpt", "gpt-1.2"), ("A", "A-1.2")])
def test_a_package_is_called_after_its_target_and_version(name: str, title: str) -> None:
    assert Package(name, "1.2", "//:A", ()).title == title


def test_the_size_of_a_package_is_that_of_its_layers() -> None:
    package = Package("A", "1", "//:A", (layer("//:B", 4096), layer("//:A", 8192)))

    assert package.size == 12288


@pytest.mark.parametrize("text", ["1", "deadbeef0123", "deadbeef0123-dirty.01234567", "a" * 128])
def test_a_version_is_what_an_oci_tag_may_be(text: str) -> None:
    assert is_version(text)


@pytest.mark.parametrize("text", ["", ".", "..", ".latest", "-1", "a/b", "a:b", "a\n", "a" * 129])
def test_what_no_tag_and_no_file_may_be_called_is_no_version(text: str) -> None:
    assert not is_version(text)
