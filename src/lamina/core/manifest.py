"""A package: an ordered list of layers and how to run what they hold."""

from __future__ import annotations

import re

from lamina.core.classes import dataclass
from lamina.core.digest import Digest

LAYER_XAR = "application/vnd.lamina.layer.v1.xar"
LAYER_EROFS = "application/vnd.lamina.layer.v1.erofs"
EXTENSIONS = {LAYER_XAR: "xar", LAYER_EROFS: "erofs"}  # of the files that people see

_VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


def is_version(text: str) -> bool:
    """Whether it is legal as an OCI tag, and so as a file name: a version must be both."""
    return _VERSION.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Layer:
    """One immutable image, made from the own files of one target, or of several."""

    label: str  # of the target whose files it holds, e.g. `//train:model`; of several, the top one
    tree: Digest  # root of the Merkle tree of those files
    blob: Digest  # the image itself: XAR header and squashfs, or EROFS alone
    media_type: str = LAYER_XAR
    files: int = 0  # regular files and symlinks in it
    content_size: int = 0  # bytes of those files, uncompressed
    labels: tuple[str, ...] = ()  # of all targets in it, bottom first; empty where it is one

    @property
    def held(self) -> tuple[str, ...]:
        """The labels of the targets whose files it holds."""
        return self.labels or (self.label,)

    @property
    def name(self) -> str:
        """What it is called for people: its label, and how many targets are in it besides."""
        return self.label if len(self.held) == 1 else f"{self.label} +{len(self.held) - 1}"

    @property
    def title(self) -> str:
        """File name for people: `<target name>-<tree prefix>.xar` (or `.erofs`)."""
        name = self.label.rpartition(":")[2].replace("/", "_")
        more = f"-and-{len(self.held) - 1}" if len(self.held) > 1 else ""
        return f"{name}{more}-{self.tree.short}.{EXTENSIONS[self.media_type]}"


@dataclass(frozen=True, slots=True)
class ImageLayer:
    """A layer of a container image as others know it: a tar archive, compressed or not."""

    blob: Digest
    diff_id: str  # sha256 of the archive before it was compressed, 64 hexadecimal digits
    media_type: str
    origin: str = ""  # what it was made of, for people


@dataclass(frozen=True, slots=True)
class Step:
    """One entry of the history of an image: for people, no more."""

    created: str = ""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty: bool = False  # it has made no layer


@dataclass(frozen=True, slots=True)
class Image:
    """A base image: its own layers, and how it says that it is run.

    A package's own words go before these. The layers are what the base layers of the package were
    made of, one of each: an image of the package has them as they are.
    """

    architecture: str = ""  # `amd64`
    environment: tuple[str, ...] = ()  # each as `NAME=value`
    entry_point: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    folder: str = ""  # that a process starts in
    user: str = ""  # `1000:1000`, `nobody`
    layers: tuple[ImageLayer, ...] = ()  # bottom first
    history: tuple[Step, ...] = ()
    name: str = ""  # as it is tagged; empty where it is not
    digest: str = ""  # sha256 of its manifest, 64 hexadecimal digits; empty where it has none
    labels: tuple[tuple[str, str], ...] = ()  # sorted
    ports: tuple[str, ...] = ()  # that it says it listens at: `80/tcp`; sorted
    volumes: tuple[str, ...] = ()  # folders that an engine makes a volume for; sorted
    stop_signal: str = ""  # `SIGINT`: what asks it to end; empty for SIGTERM


@dataclass(frozen=True, slots=True)
class Package:
    """What is run: layers bottom first, and the run configuration.

    The package root is a union of the layers, mounted at `/packages/<title>`. Those of a base
    image are none of it: their union is the root file system, `/`.
    """

    name: str  # `train/model/gpt`: build package and target name, the name in a reference
    version: str  # commit, dirty mark or content digest; legal as OCI tag and file name
    label: str  # the target that was packaged
    layers: tuple[Layer, ...]  # bottom first: what is depended on lies lower
    entry_point: tuple[str, ...] = ()  # argv; the first is relative to the package root
    environment: tuple[tuple[str, str], ...] = ()  # sorted
    interpreter: str = ""  # e.g. `python3.11`; empty for native programs
    base: str = ""  # label of the base image; empty: the host's root file system
    base_layers: int = 0  # so many of the layers, from the bottom, are the root file system
    image: Image = Image()  # what the base image says of itself
    commit: str = ""  # full commit id; empty without version control
    dirty: bool = False  # inputs differ from the commit
    # argv of a native program without its launcher, which wants a shell; empty where it needs that
    program: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """`A-<version>`: the stem of package files and the folder under `/packages`."""
        return f"{self.name.rpartition('/')[2]}-{self.version}"

    @property
    def own_layers(self) -> tuple[Layer, ...]:
        """The layers that show the package root, bottom first."""
        return self.layers[self.base_layers :]

    @property
    def size(self) -> int:
        """Bytes of all layers."""
        return sum(layer.blob.size for layer in self.layers)
