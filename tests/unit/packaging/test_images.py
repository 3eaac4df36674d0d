"""Images: which layers become one, what they hold, and what is not made twice."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError, UserError
from lamina.core.manifest import Image, ImageLayer, Layer, Package, Step
from lamina.core.tree import File, Node, Tree, stacked
from lamina.packaging import images
from lamina.packaging.archives import Compression
from lamina.store.local import LocalStore
from lamina.store.trees import encode

SOME = Digest.of(b"some")
GZIP = Compression("gzip")
BASE_LAYER = ImageLayer(SOME, SOME.hash, "x")


def package(count: int) -> Package:
    return of([SOME] * count)


def of(roots: Sequence[Digest]) -> Package:
    layers = tuple(Layer(f"//:{number}", root, SOME) for number, root in enumerate(roots))
    return Package("team/A_b", "v1", "//team:A_b", layers, ("A_b", "-x"), (("OWN", "1"),))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    found = LocalStore(tmp_path / "store")
    yield found
    found.close()


def trees(store: LocalStore, count: int) -> list[dict[str, Node]]:
    return [
        {f"f{number}": File(store.write(b"x" * number)), "same": File(store.write(b"same"))}
        for number in range(count)
    ]


def kept(store: LocalStore, parts: Sequence[Tree]) -> Package:
    """A package of layers that hold some trees, which the store can tell."""
    for part in parts:
        for blob in encode(part)[1]:
            store.write(blob)
    return of([encode(part)[0] for part in parts])


def made(package: Package, store: LocalStore, how: Compression = GZIP) -> list[ImageLayer]:
    return images.Maker(package, store, how).make(images.runs(package.layers, 120), 2)


def cuts(sizes: Sequence[int], most: int) -> list[tuple[int, int]]:
    return images._cuts([f"//:{number}" for number in range(len(sizes))], sizes, most)


@given(st.lists(st.integers(0, 1 << 40), min_size=1, max_size=60), st.integers(1, 60))
def test_runs_are_as_many_as_may_be_and_hold_all_in_order(sizes: list[int], most: int) -> None:
    runs = cuts(sizes, most)

    assert len(runs) == min(most, len(sizes))
    assert [number for begin, end in runs for number in range(begin, end)] == [*range(len(sizes))]


def test_large_layers_are_left_alone() -> None:
    assert cuts([1 << 30, 5, 6, 1 << 20, 7, 8], 4) == [(0, 1), (1, 3), (3, 4), (4, 6)]


@pytest.mark.parametrize("change", [20, 5000, 1 << 30])
def test_an_edit_changes_few_runs_besides_its_own(change: int) -> None:
    sizes = [1000 + 37 * number % 500 for number in range(1000)]
    before = {*cuts(sizes, 120)}

    for place in range(0, 1000, 50):
        edited = [*sizes[:place], sizes[place] + change, *sizes[place + 1 :]]
        assert len({*cuts(edited, 120)} - before) <= 5


def test_runs_of_equal_layers_are_not_much_longer_than_others() -> None:
    assert max(end - begin for begin, end in cuts([1000] * 2000, 120)) < 120


def test_thousands_of_layers_are_grouped_at_once() -> None:
    assert len(cuts([number % 977 for number in range(20_000)], 120)) == 120


def test_runs_hold_all_layers_in_order() -> None:
    layers = package(200).layers

    runs = images.runs(layers, 120)

    assert len(runs) == 120
    assert tuple(layer for run in runs for layer in run.layers) == layers


def test_a_layer_of_several_shows_what_a_stack_of_them_shows(store: LocalStore) -> None:
    parts = trees(store, 3)
    found = kept(store, parts)

    (layer,) = images.Maker(found, store, GZIP).make(images.runs(found.layers, 1), 1)

    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(store.read(layer.blob)))) as tar:
        names = {member.name for member in tar if member.isfile()}
    assert names == {f"packages/A_b/{path}" for path in stacked(parts)}


def test_a_layer_holds_the_files_below_the_packages_folder(store: LocalStore) -> None:
    (layer,) = made(kept(store, trees(store, 1)), store)

    data = gzip.decompress(store.read(layer.blob))
    assert hashlib.sha256(data).hexdigest() == layer.diff_id
    with tarfile.open(fileobj=io.BytesIO(data)) as found:
        names = found.getnames()
    assert names == ["packages", "packages/A_b", "packages/A_b/f0", "packages/A_b/same"]


def test_what_is_known_is_not_made_again_and_what_is_lost_is(store: LocalStore) -> None:
    found = kept(store, trees(store, 3))
    first = made(found, store)
    before = store.path(first[0].blob).stat()
    store.path(first[1].blob).unlink()

    again = made(found, store)

    assert again == first
    assert store.path(first[0].blob).stat().st_mtime_ns == before.st_mtime_ns
    assert not store.missing(layer.blob for layer in first)


def test_files_are_wanted_of_layers_that_are_not_known(store: LocalStore) -> None:
    found = kept(store, trees(store, 3))
    runs, maker = images.runs(found.layers, 120), images.Maker(found, store, GZIP)

    assert maker.lacking(runs) == [*found.layers]
    layers = maker.make(runs, 1)
    assert maker.lacking(runs) == []
    store.path(layers[1].blob).unlink()
    assert maker.lacking(runs) == [found.layers[1]]


@pytest.mark.parametrize("data", [b"", b"[]", b'{"blob": 1}', b'{"blob": "x", "diff": "y"}'])
def test_what_is_told_of_a_layer_may_be_damaged(store: LocalStore, data: bytes) -> None:
    found = kept(store, trees(store, 1))
    first = made(found, store)
    for path in (store.folder / "images").glob("*/*"):
        path.write_bytes(data)

    assert made(found, store) == first


def test_an_edit_changes_one_layer(store: LocalStore) -> None:
    parts = trees(store, 5)
    one = made(kept(store, parts), store)
    parts[2] = {"f2": File(store.write(b"edited"))}

    other = made(kept(store, parts), store)

    assert [a.blob == b.blob for a, b in zip(one, other, strict=True)] == [
        True, True, False, True, True,
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["gzip", "zstd", "none"])
def test_the_uncompressed_digest_is_one_for_every_compression(store: LocalStore, name: str) -> None:
    found = kept(store, trees(store, 1))

    (layer,) = made(found, store, Compression(name))

    (plain,) = made(found, store, Compression("none"))
    assert layer.diff_id == plain.diff_id == plain.blob.hash


def test_an_image_starts_the_package_on_the_environment_of_its_base() -> None:
    base = Image(
        "arm64", ("PATH=/p", "OWN=2"), ("sh",), ("-c",), "/w", "u", (BASE_LAYER,),
        (Step(created_by="x"),), "base:1", "ab" * 32,
        (("a", "b"), ("org.opencontainers.image.source", "theirs")), ("80/tcp",), ("/data",),
        "SIGINT",
    )  # fmt: skip

    found = images.described(package(0), [], base)

    assert found.entry_point == ("/packages/A_b/A_b", "-x")
    assert found.environment == (
        "PATH=/p", "LAMINA_PACKAGE=/packages/A_b", "LAMINA_VERSION=v1", "OWN=1",
    )  # fmt: skip
    assert found.layers == (replace(BASE_LAYER, origin="base image"),)
    assert found.settings == {
        "User": "u", "WorkingDir": "/w", "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/data": {}},
        "StopSignal": "SIGINT", "Labels": {"a": "b"},
    }  # fmt: skip
    config, manifest = map(json.loads, images.documents(found))
    assert config["config"]["Labels"] == {**found.labels, "a": "b"}
    assert manifest["annotations"] == found.labels
    assert (found.architecture, found.steps) == ("arm64", base.history)
    assert found.labels["org.opencontainers.image.base.name"] == "base:1"
    assert found.labels["org.opencontainers.image.base.digest"] == f"sha256:{'ab' * 32}"


def test_an_image_on_none_finds_programs_where_they_usually_are() -> None:
    (path, *_) = images.described(package(0), [], Image()).environment

    assert path.startswith("PATH=") and path.endswith("/usr/bin:/sbin:/bin")


def test_a_native_program_without_a_base_needs_no_shell() -> None:
    native = replace(package(0), program=("bin/A_b", "-x"))
    base = Image(layers=(BASE_LAYER,))

    assert images.described(native, [], Image()).entry_point == ("/packages/A_b/bin/A_b", "-x")
    assert images.described(native, [], base).entry_point == ("/packages/A_b/A_b", "-x")


def test_a_layout_has_every_blob_under_its_name() -> None:
    layer = ImageLayer(Digest.of(b"layer"), SOME.hash, "x", "//:A")
    found = images.described(package(0), [layer], Image())

    tree, small = images.layout(found, package(0))

    contents = {Digest.of(data): data for data in (*small, b"layer")}
    for path, node in tree.items():
        assert isinstance(node, File)
        assert contents[node.digest]
        if path.startswith("blobs/"):
            assert path == f"blobs/sha256/{node.digest.hash}"
    index = json.loads(next(data for data in small if b"manifests" in data))
    assert index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"] == "v1"
    saved = json.loads(next(data for data in small if b"RepoTags" in data))
    assert saved[0]["RepoTags"] == ["team/a-b:v1"]


def test_a_base_leaves_room_or_is_refused() -> None:
    assert images.most_of_own(Image(layers=(BASE_LAYER,) * 20)) == 100
    with pytest.raises(UserError, match="the base image has 120 layers"):
        images.most_of_own(Image(layers=(BASE_LAYER,) * 120))


def test_layers_of_the_base_that_have_gone_are_told(store: LocalStore) -> None:
    layer = ImageLayer(store.write(b"layer"), SOME.hash, "x")
    based = replace(package(2), base="//:base", base_layers=1, image=Image(layers=(layer,)))

    images.check(based, store)
    store.path(layer.blob).unlink()
    with pytest.raises(IntegrityError, match="no longer has the layers") as caught:
        images.check(based, store)
    assert caught.value.hint is not None
    assert "`lamina package //team:A_b`" in caught.value.hint
    with pytest.raises(IntegrityError):  # a package of an older lamina
        images.check(replace(based, image=Image()), store)
