"""Packages by reference: each form of it, and what is none."""

from __future__ import annotations

import dataclasses

import pytest

from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError, UserError
from lamina.core.manifest import Layer, Package
from lamina.linux import filesystem
from lamina.store import packages
from lamina.store.blobs import BlobMissing
from lamina.store.local import LocalStore

OLD = Package("train/gpt", "0123456789ab", "//train:gpt", (), entry_point=("gpt",))
NEW = dataclasses.replace(OLD, version="ba9876543210", dirty=True)


def test_a_package_reads_back_by_its_digest(store: LocalStore) -> None:
    layer = Layer("//train:gpt", Digest("1" * 64, 2), Digest("3" * 64, 4))
    package = dataclasses.replace(OLD, layers=(layer,), environment=(("A", "1"),))

    assert packages.read(packages.put(package, store), store) == package


def test_every_version_is_found_by_its_name(store: LocalStore) -> None:
    old, new = packages.put(OLD, store), packages.put(NEW, store)

    assert packages.resolve("train/gpt:0123456789ab", store) == old
    assert packages.resolve("train/gpt:ba9876543210", store) == new


def test_a_name_alone_is_the_version_that_was_put_last(store: LocalStore) -> None:
    packages.put(NEW, store)
    old = packages.put(OLD, store)

    assert packages.resolve("train/gpt", store) == old


def test_a_package_is_found_by_its_digest_with_and_without_a_name(store: LocalStore) -> None:
    digest = packages.put(OLD, store)

    assert packages.resolve(f"train/gpt@sha256:{digest.hash}", store) == digest
    assert packages.resolve(f"sha256:{digest.hash}", store) == digest


@pytest.mark.parametrize("name", ["a b", "a,b", "ü", "a@b", "-x", ".a", "a/b/c.d", "a..b"])
def test_a_package_of_every_legal_target_name_is_found(store: LocalStore, name: str) -> None:
    digest = packages.put(dataclasses.replace(OLD, name=name), store)

    assert packages.resolve(name, store) == digest
    assert packages.resolve(f"{name}:0123456789ab", store) == digest


@pytest.mark.parametrize(
    "reference",
    [
        "",
        ":",
        "other",
        "train",
        "train/gpt/",
        "train/gpt/more",
        "train/gpt:",
        "train/gpt:1",
        "train/gpt:.latest",
        "train/gpt:0123456789ab:x",
        "train:gpt",
        "train/gpt/0123456789ab",
        "//train:gpt",
        "../packages/train/gpt",
        "train/../train/gpt",
        "train/gpt:../gpt/0123456789ab",
        "/etc/passwd",
        "train/./gpt",
        "train/gpt\0",
        "a" * 5000,
        "train/gpt@sha256:",
        "train/gpt@sha256:0123",
        "train/gpt@sha256:" + "0" * 64,
        "train/gpt@sha256:../../VERSION",
        "sha256:" + "0" * 63 + "/",
        "train/gptsha256:" + "0" * 64,
    ],
)
def test_any_other_reference_is_unknown(store: LocalStore, reference: str) -> None:
    packages.put(OLD, store)

    with pytest.raises(UserError) as caught:
        packages.resolve(reference, store)

    assert (
        caught.value.message == f"there is no package `{reference}` in the store `{store.folder}`"
    )
    assert caught.value.hint is not None


@pytest.mark.parametrize("damage", [b"", b"0123", b"\xff"])
def test_a_damaged_name_is_unknown_until_the_package_is_made_again(
    store: LocalStore, damage: bytes
) -> None:
    packages.put(OLD, store)
    (store.folder / "packages/train/gpt/.latest").write_bytes(damage)

    with pytest.raises(UserError, match="there is no package `train/gpt`"):
        packages.resolve("train/gpt", store)

    digest = packages.put(OLD, store)
    assert packages.resolve("train/gpt", store) == digest


def test_the_digest_of_another_kind_of_blob_is_no_package(store: LocalStore) -> None:
    digest = store.write(b'{"artifactType": "image"}')

    with pytest.raises(IntegrityError, match="not a lamina package"):
        packages.read(packages.resolve(f"sha256:{digest.hash}", store), store)


def test_a_package_whose_config_is_gone_names_the_blob(store: LocalStore) -> None:
    digest = packages.put(OLD, store)
    filesystem.remove_tree(store.folder / "blobs")
    store.write(b"")

    with pytest.raises(BlobMissing, match=digest.hash):
        packages.read(digest, store)


def test_what_was_meant_is_named(store: LocalStore) -> None:
    packages.put(OLD, store)

    for wanted, hint in (
        ("gpt", "did you mean `train/gpt`?"),
        ("train/gtp", "did you mean `train/gpt`?"),
        ("//train:gpt", "that is a label: `lamina run //train:gpt`"),
    ):
        with pytest.raises(UserError) as caught:
            packages.resolve(wanted, store)
        assert caught.value.hint is not None
        assert caught.value.hint.startswith(hint)


def test_a_package_gets_its_name_later_unless_it_is_gone_by_then(store: LocalStore) -> None:
    digest, settle = packages.put_later(OLD, store)
    with pytest.raises(UserError):
        packages.resolve("train/gpt", store)
    assert packages.read(digest, store) == OLD
    settle()
    assert packages.resolve("train/gpt:0123456789ab", store) == digest

    gone, settle = packages.put_later(NEW, store)
    store.path(gone).unlink()
    settle()
    assert packages.resolve("train/gpt", store) == digest
