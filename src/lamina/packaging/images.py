"""Packages as OCI images: an image layer for each layer, or for runs of them where there are many.

The files lie at `/packages/<name>`, without the version: what does not change between two versions
keeps its bytes. A layer is compressed once, and known by its tree from then on.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import os
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import IO

from lamina.core.classes import dataclass, replace
from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError, UserError
from lamina.core.manifest import Image as Base
from lamina.core.manifest import ImageLayer, Layer, Package
from lamina.core.tree import File, Node, Tree, below, stacked
from lamina.formats import ociimage, treearchive
from lamina.formats.ociimage import Image
from lamina.linux import filesystem
from lamina.packaging import archives
from lamina.packaging.archives import Compression
from lamina.store import trees
from lamina.store.local import LocalStore

MOST_LAYERS = 120  # of an image; Docker runs no more than 125
FOLDER = "packages"  # of the image, in which the package root lies
_FORMAT = "lamina image layer 2"  # part of every key: what is made otherwise is something else
_PREFIX = "org.opencontainers.image"


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring layers that become one layer of an image."""

    layers: tuple[Layer, ...]  # bottom first

    @property
    def origin(self) -> str:
        """What it holds, for people."""
        count, label = len(self.layers), self.layers[0].label
        return label if count == 1 else f"{label} and {count - 1} more"


def runs(layers: Sequence[Layer], most: int) -> list[Run]:
    """What the layers of an image hold, at most so many: a stack of them shows what layers did."""
    parts = _cuts([layer.label for layer in layers], [layer.content_size for layer in layers], most)
    return [Run(tuple(layers[begin:end])) for begin, end in parts]


def _cuts(labels: Sequence[str], sizes: Sequence[int], most: int) -> list[tuple[int, int]]:
    """Runs of neighbours, by begin and end: cut beside the largest, else where names fall.

    A cut depends on the names of its two neighbours and on the magnitude of their sizes alone. So
    an edit leaves the runs that it does not touch as they were, and a new layer nearly all of them.
    """

    def weight(seam: int) -> tuple[int, bytes]:
        names = f"{labels[seam - 1]}\n{labels[seam]}"
        magnitude = max(sizes[seam - 1], sizes[seam]).bit_length()
        return magnitude, hashlib.sha256(names.encode()).digest()

    seams = heapq.nlargest(most - 1, range(1, len(sizes)), key=weight)
    ends = [0, *sorted(seams), len(sizes)]
    return list(pairwise(ends))


class Maker:
    """Makes the image layers of a package, once: a run is known by the trees of its layers."""

    def __init__(self, package: Package, store: LocalStore, compression: Compression) -> None:
        self._folder = root_of(package).lstrip("/")
        self._store = store
        self._compression = compression

    def lacking(self, runs: Iterable[Run]) -> list[Layer]:
        """The layers whose files are wanted to make all of some runs."""
        return [layer for run in runs if self._known(run) is None for layer in run.layers]

    def make(self, runs: Sequence[Run], jobs: int) -> list[ImageLayer]:
        """The layers of an image, in the order of the runs; those known are not made again."""
        with ThreadPoolExecutor(jobs) as pool:  # compressing lets other threads run
            return list(pool.map(self._layer, runs))

    def _layer(self, run: Run) -> ImageLayer:
        known = self._known(run)
        if known is not None:
            return known
        parts = [trees.read(layer.tree, self._store) for layer in run.layers]
        tree = below(self._folder, stacked(parts))
        blob, diff = _written(tree, self._store, self._compression)
        data = json.dumps({"blob": str(blob), "diff": diff}).encode()
        filesystem.write_atomic(self._place(run), data, scratch=self._store.scratch)
        return self._called(run, blob, diff)

    def _known(self, run: Run) -> ImageLayer | None:
        try:
            document = json.loads(self._place(run).read_bytes())
            blob, diff = Digest.parse(document["blob"]), str(document["diff"])
        except (FileNotFoundError, ValueError, KeyError, TypeError, UserError):  # or damaged
            return None
        return self._called(run, blob, diff) if self._store.has(blob) else None

    def _place(self, run: Run) -> Path:
        """Where the store tells the layer of a run: by all that it is made of."""
        how = self._compression
        parts = (
            _FORMAT,
            f"{how.name} {how.level} {zlib.ZLIB_RUNTIME_VERSION}",
            self._folder,
            *(str(layer.tree) for layer in run.layers),
        )
        key = Digest.of("\n".join(parts).encode()).hash
        return self._store.folder / "images" / key[:2] / key[2:]

    def _called(self, run: Run, blob: Digest, diff: str) -> ImageLayer:
        kind = ociimage.MEDIA_TYPES[self._compression.name]
        return ImageLayer(blob, diff, kind, run.origin)


def _written(tree: Tree, store: LocalStore, compression: Compression) -> tuple[Digest, str]:
    """Keep a tree as a compressed tar: the blob, and the sha256 of what was compressed."""
    with filesystem.temporary_beside(store.scratch / "image") as temporary:
        with (
            temporary.open("wb") as file,
            archives.compressed(file, compression) as stream,
        ):
            hashing = _Hashing(stream)
            treearchive.write_tar(tree, store.open, hashing)  # type: ignore[arg-type]
        return store.take(temporary), hashing.hash.hexdigest()


class _Hashing:
    """A stream that hashes what passes through it."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self.hash = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        return self._out.write(data)


def root_of(package: Package) -> str:
    """Where the package root lies in an image."""
    return f"/{FOLDER}/{package.name.rpartition('/')[2]}"


def described(package: Package, layers: Iterable[ImageLayer], base: Base) -> Image:
    """The image of a package: what starts it, and with what."""
    root = root_of(package)
    own = {**dict(package.environment), "LAMINA_PACKAGE": root, "LAMINA_VERSION": package.version}
    names = tuple(f"{name}=" for name in own)
    outer = base.environment or (f"PATH={ociimage.PATH}",)
    kept = [text for text in outer if not text.startswith(names)]
    labels = {f"{_PREFIX}.title": package.title, f"{_PREFIX}.version": package.version}
    if package.commit:
        labels[f"{_PREFIX}.revision"] = package.commit
    if base.name:
        labels[f"{_PREFIX}.base.name"] = base.name
    if base.digest:
        labels[f"{_PREFIX}.base.digest"] = f"sha256:{base.digest}"
    below = tuple(replace(layer, origin=layer.origin or "base image") for layer in base.layers)
    settings: dict[str, object] = {
        "User": base.user,
        "WorkingDir": base.folder,
        "ExposedPorts": {port: {} for port in base.ports},
        "Volumes": {folder: {} for folder in base.volumes},
        "StopSignal": base.stop_signal,
        # What the base says of itself in the standard's words is not true of what stands on it.
        "Labels": {name: text for name, text in base.labels if not name.startswith(f"{_PREFIX}.")},
    }
    # Without a base there is no shell for the launcher.
    start = package.entry_point if base.layers else package.program or package.entry_point
    program, *arguments = start or ("",)
    return Image(
        layers=(*below, *layers),
        entry_point=(f"{root}/{program}", *arguments) if program else (),
        environment=(*kept, *(f"{name}={value}" for name, value in sorted(own.items()))),
        labels={**labels, "lamina.label": package.label},
        architecture=base.architecture or ociimage.architecture(os.uname().machine),
        settings={name: value for name, value in settings.items() if value},
        steps=base.history,
    )


def documents(found: Image) -> tuple[bytes, bytes]:
    """The configuration and the manifest of an image."""
    config = ociimage.encode_config(found)
    return config, ociimage.encode_manifest(found, Digest.of(config))


def layout(found: Image, package: Package) -> tuple[Tree, list[bytes]]:
    """The files of an image layout, and the contents of those that are no layers.

    With the one more that `docker load` looks for; readers of layouts ignore it.
    """
    config, manifest = documents(found)
    name, tag = ociimage.name_of(package.name), package.version
    index = ociimage.encode_index(Digest.of(manifest), name, tag)
    files = {
        "oci-layout": ociimage.LAYOUT,
        "index.json": index,
        "manifest.json": ociimage.encode_archive(found, Digest.of(config), name, tag),
    }
    for data in (config, manifest):
        files[ociimage.place(Digest.of(data).hash)] = data
    tree: dict[str, Node] = {path: File(Digest.of(data)) for path, data in files.items()}
    tree |= {ociimage.place(layer.blob.hash): File(layer.blob) for layer in found.layers}
    return tree, list(files.values())


def check(package: Package, store: LocalStore) -> None:
    """Raise IntegrityError where the store lacks layers of the package's own base image."""
    layers = package.image.layers
    gone = store.missing(layer.blob for layer in layers)
    if len(layers) == package.base_layers and not gone:
        return
    message = f"the store no longer has the layers of the base image `{package.base}` as they were"
    raise IntegrityError(
        message,
        hint=f"`lamina package {package.label}` takes them anew from what `{package.base}` names",
    )


def most_of_own(base: Base) -> int:
    """How many layers may lie on a base; UserError where it has too many itself."""
    most = MOST_LAYERS - len(base.layers)
    if most < 1:
        count = len(base.layers)
        message = f"the base image has {count} layers, and an image {MOST_LAYERS} at most"
        raise UserError(message, hint="squash the base image")
    return most
