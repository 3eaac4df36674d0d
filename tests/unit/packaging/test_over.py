"""What a package is an edit of: each path that was there shows in its own layers."""

from __future__ import annotations

import base64
import itertools
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
from lamina.formats import edit, xar
from lamina.packaging import over
from lamina.packaging.over import Chain
from lamina.store import packages
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
            Layer(f"//p:{name}", blob, blob)
            for name, blob in ((name, image(files)) for name, files in layers.items())
        )
        found = Package("p/a", f"v{Digest.of(repr(layers).encode()).short}", "//p:a", made, ("a",))
        return packages.put(replace(found, **more), store)

    return package


def chain_of(store: LocalStore, *digests: Digest) -> Chain:
    """What the last of some packages is an edit of, when they were pushed one by one."""
    found = Chain()
    for before, digest in itertools.pairwise(digests):
        old, new = packages.read(before, store), packages.read(digest, store)
        found = over.follow(found, before, old, new, store)
    return found


def told(digest: Digest, chain: Chain, store: LocalStore) -> str:
    return over.told(packages.read(digest, store), digest, chain, store)


BASE = {"low": {"low.py": "1", "low/x": "1"}, "high": {"high.py": "1"}}


def edited(**layers: Files) -> dict[str, Files]:
    return {**BASE, **layers}


def test_the_layers_that_differ_lie_over_the_one_before(make: Make, store: LocalStore) -> None:
    first, second = make(BASE), make(edited(low={"low.py": "2", "low/x": "1", "new": "1"}))

    chain = chain_of(store, first, second)

    assert chain == Chain((first.hash,), ("//p:low",))
    *head, _, image = told(second, chain, store).split(":")
    assert head == ["1", first.hash, second.hash, packages.read(second, store).version]
    data = base64.b64decode(image)
    assert data[:4] == b"hsqs"
    whole = store.read(packages.read(second, store).layers[0].blob)
    assert whole[xar.SIZE :].startswith(data)
    assert not whole[xar.SIZE + len(data) :].strip(b"\0")


def test_all_that_differ_from_any_before_lie_over_each(make: Make, store: LocalStore) -> None:
    packages_ = [
        make(BASE),
        make(edited(low={"low.py": "2", "low/x": "1"})),
        make(edited(low={"low.py": "2", "low/x": "1"}, high={"high.py": "2"})),
        make(edited(high={"high.py": "2"})),
    ]

    chain = chain_of(store, *packages_)

    assert chain == Chain(
        tuple(each.hash for each in reversed(packages_[:3])), ("//p:high", "//p:low")
    )
    assert len(told(packages_[-1], chain, store).split(":")) == 5 + 2


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

    assert chain_of(store, first, second) == Chain()
    # And the next one only of those since.
    third = make({**layers, "low": {**layers["low"], "new": "1"}})
    assert chain_of(store, first, second, third).packages == (second.hash,)


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

    assert chain_of(store, first, second) == Chain()


def test_packages_over_base_images_are_no_edits(make: Make, store: LocalStore) -> None:
    more: dict[str, Any] = {"base_layers": 1, "base": "//:base"}
    first, second = make(BASE, **more), make(edited(high={"high.py": "2"}), **more)

    assert chain_of(store, first, second) == Chain()


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

    assert chain_of(store, *others) == Chain()


def test_a_layer_that_is_no_image_is_no_edit(make: Make, store: LocalStore) -> None:
    first = make(BASE)
    package = packages.read(first, store)
    blob = store.write(b"#!/usr/bin/env xarexec_fuse\n")
    for layers in (
        (replace(package.layers[0], blob=blob, tree=blob), package.layers[1]),
        (*package.layers, Layer("//p:new", blob, blob)),
    ):
        assert (
            chain_of(store, first, packages.put(replace(package, layers=layers), store)) == Chain()
        )


def test_no_more_than_fits(make: Make, store: LocalStore) -> None:
    names = [f"l{number}" for number in range(edit.MOST + 1)]
    layers: dict[str, Files] = {name: {name: "1"} for name in names}
    made = [make(layers)]
    for name in names:
        layers = {**layers, name: {name: "2"}}
        made.append(make(layers))

    # With one layer more than fits, it is an edit of the last one alone.
    assert len(chain_of(store, *made[:-1]).labels) == edit.MOST
    assert chain_of(store, *made) == Chain((made[-2].hash,), (f"//p:{names[-1]}",))


def test_no_more_packages_than_fit(make: Make, store: LocalStore) -> None:
    made = [make(edited(high={"high.py": str(number)})) for number in range(edit.OVER + 3)]

    chain = chain_of(store, *made)

    assert chain.packages == tuple(each.hash for each in made[-2 : -2 - edit.OVER : -1])
    assert told(made[-1], chain, store)


def test_a_chain_that_was_written_down_is_checked() -> None:
    assert over.recalled(["0" * 64], ["//p:low"]) == Chain(("0" * 64,), ("//p:low",))
    with pytest.raises(ValueError, match="hashes"):
        over.recalled(["0" * 63 + ";"], [])
