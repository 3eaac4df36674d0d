"""What a package is an edit of: each path that was there shows in its own layers."""

from __future__ import annotations

import base64
import itertools
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lamina.core.classes import replace
from lamina.core.digest import Digest
from lamina.core.manifest import LAYER_EROFS, Layer, Package
from lamina.core.tree import File, Node
from lamina.formats import edit, xar
from lamina.packaging import over
from lamina.packaging.over import Chain, Edit
from lamina.store import packages, trees
from lamina.store.local import LocalStore

Files = Mapping[str, str]
Make = Callable[..., Digest]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    with closing(LocalStore(tmp_path / "store")) as opened:
        yield opened


@pytest.fixture
def make(tmp_path: Path, store: LocalStore) -> Make:
    """Makes a package of layers, each of which has some files."""
    known: dict[str, Digest] = {}

    def image(files: Files) -> Digest:
        if repr(files) not in known:
            tree = tmp_path / "tree"
            for name, text in files.items():
                place = tree / name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(text)
            made = tmp_path / "image"
            words = ["-quiet", "-noappend", "-no-progress", "-comp", "zstd"]
            subprocess.run(["mksquashfs", tree, made, *words], check=True)
            shutil.rmtree(tree)
            header = xar.encode(xar.Header("ab" * 32, "run"))
            known[repr(files)] = store.write(header + made.read_bytes())
        return known[repr(files)]

    def package(layers: Mapping[str, Files], **more: Any) -> Digest:
        made = tuple(
            Layer(f"//p:{name}", trees.write(tree_of(files), store), image(files))
            for name, files in layers.items()
        )
        found = Package("p/a", f"v{Digest.of(repr(layers).encode()).short}", "//p:a", made, ("a",))
        return packages.put(replace(found, **more), store)

    return package


def tree_of(files: Files) -> dict[str, Node]:
    return {name: File(Digest.of(text.encode())) for name, text in files.items()}


def edit_of(store: LocalStore, *digests: Digest) -> Edit:
    """What the last of some packages is as an edit, when they were pushed one by one."""
    found = Edit()
    for before, digest in itertools.pairwise(digests):
        old, new = packages.read(before, store), packages.read(digest, store)
        found = over.follow(found.chain, before, old, new, store)
    return found


def files_of(image: bytes, folder: Path) -> dict[str, str]:
    """What is in an image, by others' tool."""
    made, to = folder / "found", folder / "unpacked"
    made.write_bytes(image)
    subprocess.run(["unsquashfs", "-q", "-n", "-d", to, made], check=True, capture_output=True)
    found = {
        str(path.relative_to(to)): path.read_text() for path in to.rglob("*") if path.is_file()
    }
    shutil.rmtree(to)
    return found


BASE = {"low": {"low.py": "1", "low/x": "1"}, "high": {"high.py": "1"}}


def edited(**layers: Files) -> dict[str, Files]:
    return {**BASE, **layers}


def test_what_differs_lies_over_the_one_before(
    make: Make, store: LocalStore, tmp_path: Path
) -> None:
    first, second = make(BASE), make(edited(low={"low.py": "2", "low/x": "1", "new": "1"}))

    found = edit_of(store, first, second)

    assert found.chain == Chain((first.hash,), {"//p:low": ["low.py", "new"]})
    assert files_of(found.image, tmp_path) == {"low.py": "2", "new": "1"}
    version = packages.read(second, store).version
    *head, _, image = over.told(packages.read(second, store), second, found).split(":")
    assert head == ["1", first.hash, second.hash, version]
    assert base64.b64decode(image) == found.image


def test_all_that_differs_from_any_before_lies_over_each(
    make: Make, store: LocalStore, tmp_path: Path
) -> None:
    packages_ = [
        make(BASE),
        make(edited(low={"low.py": "2", "low/x": "1"})),
        make(edited(low={"low.py": "2", "low/x": "3"}, high={"high.py": "2"})),
        make(edited(high={"high.py": "2"})),
    ]

    found = edit_of(store, *packages_)

    assert found.chain == Chain(
        tuple(each.hash for each in reversed(packages_[:3])),
        {"//p:high": ["high.py"], "//p:low": ["low.py", "low/x"]},
    )
    assert files_of(found.image, tmp_path) == {"low.py": "1", "low/x": "1", "high.py": "2"}
    again = over.again(found.chain, packages.read(packages_[-1], store), store)
    assert again == found


def test_a_layer_that_is_new_is_all_that_is_in_it(
    make: Make, store: LocalStore, tmp_path: Path
) -> None:
    found = edit_of(store, make(BASE), make(edited(more={"low/y": "1", "more.py": "1"})))

    assert files_of(found.image, tmp_path) == {"low/y": "1", "more.py": "1"}


def test_of_a_large_layer_comes_what_differs(make: Make, store: LocalStore, tmp_path: Path) -> None:
    """However much else is in it: that is not even read."""
    large = {f"data/{number}": random.Random(number).randbytes(50_000).hex() for number in range(9)}
    first, second = make(edited(low=large)), make(edited(low={**large, "data/5": "5"}))

    found = edit_of(store, first, second)

    assert len(found.image) < 1000
    assert files_of(found.image, tmp_path) == {"data/5": "5"}


@pytest.mark.parametrize(
    "layers",
    [
        {"low": {"low.py": "1"}, "high": {"high.py": "1"}},  # a file is gone
        {"low": {"low.py": "1", "low": "1"}, "high": {"high.py": "1"}},  # a folder is a file
        {"low": BASE["low"]},  # a layer is gone
        {"low": BASE["low"], "other": BASE["high"]},
    ],
)
def test_where_something_is_gone_it_is_no_edit(
    layers: Mapping[str, Files], make: Make, store: LocalStore
) -> None:
    first, second = make(BASE), make(layers)

    assert edit_of(store, first, second) == Edit()
    # And the next one only of those since.
    third = make({**layers, "low": {**layers["low"], "new": "1"}})
    assert edit_of(store, first, second, third).chain.packages == (second.hash,)


@pytest.mark.parametrize(
    "more",
    [
        {"entry_point": ("b",)},
        {"environment": (("A", "b"),)},
        {"interpreter": "python3.11"},
        {"base_layers": 1, "base": "//:base"},
        {"name": "p/b", "label": "//p:b"},
    ],
)
def test_where_it_is_run_in_another_way_it_is_no_edit(
    more: dict[str, Any], make: Make, store: LocalStore
) -> None:
    first, second = make(BASE), make(edited(high={"high.py": "2"}), **more)

    assert edit_of(store, first, second) == Edit()


def test_packages_over_base_images_are_no_edits(make: Make, store: LocalStore) -> None:
    more: dict[str, Any] = {"base_layers": 1, "base": "//:base"}
    first, second = make(BASE, **more), make(edited(high={"high.py": "2"}), **more)

    assert edit_of(store, first, second) == Edit()


def test_what_the_kernel_reads_another_way_is_no_edit(make: Make, store: LocalStore) -> None:
    first, second = (packages.read(make(each), store) for each in (BASE, edited(high={"h": "2"})))
    others = [
        packages.put(
            replace(
                each, layers=tuple(replace(layer, media_type=LAYER_EROFS) for layer in each.layers)
            ),
            store,
        )
        for each in (first, second)
    ]

    assert edit_of(store, *others) == Edit()


def test_a_layer_that_is_no_image_is_no_edit(make: Make, store: LocalStore) -> None:
    first = make(BASE)
    package = packages.read(first, store)
    blob = store.write(b"#!/usr/bin/env xarexec_fuse\n")
    tree = trees.write(tree_of({"low.py": "2", "low/x": "1"}), store)
    for layers in (
        (replace(package.layers[0], blob=blob, tree=tree), package.layers[1]),
        (*package.layers, Layer("//p:new", tree, blob)),
    ):
        assert edit_of(store, first, packages.put(replace(package, layers=layers), store)) == Edit()


def test_where_nobody_knows_what_was_in_a_layer_it_is_no_edit(
    make: Make, store: LocalStore
) -> None:
    """As where a package was pulled, and is pushed elsewhere."""
    first, second = make(BASE), make(edited(low={"low.py": "2", "low/x": "1"}))
    store.drop(store.path(packages.read(first, store).layers[0].tree))

    assert edit_of(store, first, second) == Edit()


def test_a_layer_that_is_not_what_its_tree_says_is_no_edit(make: Make, store: LocalStore) -> None:
    first = make(BASE)
    package = packages.read(first, store)
    tree = trees.write(tree_of({"low.py": "1", "low/x": "1", "other": "1"}), store)
    blob = make(edited(low={"low.py": "2", "low/x": "1"}))
    odd = replace(packages.read(blob, store).layers[0], tree=tree)
    second = packages.put(replace(package, layers=(odd, package.layers[1])), store)

    assert edit_of(store, first, second) == Edit()


def test_no_more_than_fits(make: Make, store: LocalStore) -> None:
    names = [f"l{number}" for number in range(4)]
    size = edit.LARGEST // 3 - 500
    texts = {name: base64.b64encode(random.Random(name).randbytes(size)).decode() for name in names}
    layers: dict[str, Files] = {name: {name: "1"} for name in names}
    made = [make(layers)]
    for name in names:
        layers = {**layers, name: {name: texts[name]}}
        made.append(make(layers))

    # With one file more than fits, it is an edit of the last one alone.
    assert len(edit_of(store, *made[:-1]).chain.paths) == 3
    found = edit_of(store, *made)
    assert found.chain == Chain((made[-2].hash,), {f"//p:{names[-1]}": [names[-1]]})
    assert 0 < len(found.image) <= edit.LARGEST
    # And what alone is more than fits is none.
    large = {"l0": random.Random(0).randbytes(edit.LARGEST).hex()}
    assert edit_of(store, made[-1], make({**layers, "l0": large})) == Edit()


@pytest.mark.parametrize("more", [{"x": "1" * (1 << 18 | 1)}, {f"x{n}": "" for n in range(300)}])
def test_what_is_much_is_not_tried(more: Files, make: Make, store: LocalStore) -> None:
    low = {**BASE["low"], **more}

    assert edit_of(store, make(BASE), make(edited(low=low))) == Edit()


def test_no_more_packages_than_fit(make: Make, store: LocalStore) -> None:
    made = [make(edited(high={"high.py": str(number)})) for number in range(edit.OVER + 3)]

    found = edit_of(store, *made)

    assert found.chain.packages == tuple(each.hash for each in made[-2 : -2 - edit.OVER : -1])
    assert over.told(packages.read(made[-1], store), made[-1], found)


def test_a_chain_that_was_written_down_is_checked() -> None:
    paths = {"//p:low": ["low.py"]}
    assert over.recalled(["0" * 64], paths) == Chain(["0" * 64], paths)
    with pytest.raises(ValueError, match="hashes"):
        over.recalled(["0" * 63 + ";"], paths)
    unfit: list[object] = [[], {"//p:low": "low.py"}, {"//p:low": [1]}, {"//p:low": ["a", "a/b"]}]
    for odd in unfit:
        with pytest.raises(ValueError, match="paths"):
            over.recalled(["0" * 64], odd)
