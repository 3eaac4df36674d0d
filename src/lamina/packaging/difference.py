"""What differs between two packages: layers, their files, code of others, how they are run.

Pure: what a layer holds is given as a tree, or as None where nobody knows it any more.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from lamina.core.classes import dataclass
from lamina.core.digest import Digest
from lamina.core.manifest import Image, Layer, Package
from lamina.core.tree import File, Node, Tree
from lamina.formats import oci

TreeOf = Callable[[Layer], Tree | None]

ADDED, REMOVED, CHANGED, SAME = "added", "removed", "changed", "same"
# https://packaging.python.org/specifications/recording-installed-packages: `name-version.dist-info`
_RELEASE = re.compile(r"(?:.*/)?([^/-]+)-([^/-]+)\.dist-info/METADATA")


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file that is in one of two trees alone, or in both with other bytes, mode or kind."""

    path: str
    old: Node | None
    new: Node | None

    @property
    def kind(self) -> str:
        return _kind(self.old, self.new)


@dataclass(frozen=True, slots=True)
class LayerChange:
    """A layer of one package or of both; `files` is None where they are not known."""

    old: Layer | None
    new: Layer | None
    files: tuple[FileChange, ...] | None = ()
    ships: bool = False  # whether who has the old package lacks its bytes

    @property
    def kind(self) -> str:
        if self.old and self.new and self.old.blob == self.new.blob:
            return SAME
        return _kind(self.old, self.new)

    @property
    def layer(self) -> Layer:
        """The new one, or the old one where there is no new one."""
        found = self.new or self.old
        assert found is not None
        return found


@dataclass(frozen=True, slots=True)
class Release:
    """A distribution of others with its version in each package; empty where it is in none."""

    name: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Setting:
    """Something that a package says of how it is run; empty where it says nothing."""

    name: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Difference:
    """All that differs, and what a node that has the old package needs to get the new one."""

    layers: tuple[LayerChange, ...]  # bottom first as in the new package; those gone come last
    releases: tuple[Release, ...]
    settings: tuple[Setting, ...]
    documents: int  # bytes of manifest and config, where they differ

    @property
    def layer_bytes(self) -> int:
        """Bytes of the layers that are to be shipped."""
        return sum(each.layer.blob.size for each in self.layers if each.ships)

    @property
    def bytes(self) -> int:
        """Bytes that are to be shipped in all."""
        return self.layer_bytes + self.documents


def difference(old: Package, new: Package, tree_of: TreeOf) -> Difference:
    """Compare two packages; layers are the same if their images are, whatever they are called."""
    layers = tuple(_layers(old, new, tree_of))
    manifests = [oci.encode_manifest(each) for each in (old, new)]
    documents = 0
    if manifests[0] != manifests[1]:
        documents = len(manifests[1]) + len(oci.encode_config(new))
    return Difference(layers, _releases(layers), tuple(_settings(old, new)), documents)


def _layers(old: Package, new: Package, tree_of: TreeOf) -> Iterator[LayerChange]:
    before, after = _keyed(old), _keyed(new)
    there = {layer.blob for layer in old.layers}
    for key, layer in after.items():
        ships = layer.blob not in there
        there.add(layer.blob)  # two layers may have one image: it is shipped once
        yield _change(before.get(key), layer, tree_of, ships=ships)
    for key, layer in before.items():
        if key not in after:
            yield _change(layer, None, tree_of, ships=False)


_Key = tuple[str, int]


def _keyed(package: Package) -> dict[_Key, Layer]:
    """Layers by what makes one of another package the same: the label.

    Those of a base image have one label, and are told by what is in them.
    """
    found: dict[_Key, Layer] = {}
    met: Counter[str] = Counter()
    for number, layer in enumerate(package.layers):
        name = layer.tree.oci if number < package.base_layers else layer.label
        found[name, met[name]] = layer
        met[name] += 1
    return found


def _change(old: Layer | None, new: Layer | None, tree_of: TreeOf, *, ships: bool) -> LayerChange:
    if old and new and old.tree == new.tree:
        return LayerChange(old, new, (), ships)
    trees = [{} if layer is None else tree_of(layer) for layer in (old, new)]
    if trees[0] is None or trees[1] is None:
        return LayerChange(old, new, None, ships)
    return LayerChange(old, new, tuple(files(trees[0], trees[1])), ships)


def files(old: Tree, new: Tree) -> list[FileChange]:
    """What two trees do not have in common, sorted by path."""
    return [
        FileChange(path, old.get(path), new.get(path))
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path)
    ]


def _kind(old: object, new: object) -> str:
    return ADDED if old is None else REMOVED if new is None else CHANGED


def _releases(layers: Sequence[LayerChange]) -> tuple[Release, ...]:
    """Distributions by what Python's installers leave of them; only layers that differ can tell."""
    before: dict[str, str] = {}
    after: dict[str, str] = {}
    for change in (each for layer in layers for each in layer.files or ()):
        match = _RELEASE.fullmatch(change.path)
        if match is None:
            continue
        name = re.sub(r"[-_.]+", "-", match[1]).lower()
        for found, node in ((before, change.old), (after, change.new)):
            if isinstance(node, File):
                found[name] = match[2]
    names = sorted(before.keys() | after.keys())
    every = (Release(name, before.get(name, ""), after.get(name, "")) for name in names)
    return tuple(each for each in every if each.old != each.new)


def _settings(old: Package, new: Package) -> Iterator[Setting]:
    before, after = _told(old), _told(new)
    for name in dict.fromkeys((*before, *after)):
        setting = Setting(name, before.get(name, ""), after.get(name, ""))
        if setting.old != setting.new:
            yield setting


def _told(package: Package) -> dict[str, str]:
    """How a package is run, by words for people."""
    image: Image = package.image
    base = _base(package)
    found = {
        "label": package.label,
        "entry point": " ".join(package.entry_point),
        "program": " ".join(package.program),
        "interpreter": package.interpreter,
        "base": f"{package.base} {base.short}" if base else "",
        "base: entry point": " ".join((*image.entry_point, *image.command)),
        "base: folder": image.folder,
        "base: user": image.user,
        "base: ports": " ".join(image.ports),
        "base: volumes": " ".join(image.volumes),
        "base: stop signal": image.stop_signal,
        "base: architecture": image.architecture,
    }
    found |= {f"environment {name}": value for name, value in package.environment}
    found |= {f"base: label {name}": text for name, text in image.labels}
    base_environment = (word.partition("=") for word in image.environment)
    return found | {f"base: environment {name}": value for name, _, value in base_environment}


def _base(package: Package) -> Digest | None:
    """What tells the layers of a base image from those of another."""
    layers = package.layers[: package.base_layers]
    return Digest.of("\n".join(layer.tree.hash for layer in layers).encode()) if layers else None
