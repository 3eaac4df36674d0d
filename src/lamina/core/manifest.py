"""A package: an ordered list of layers and how to run what they hold."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lamina.core.digest import Digest

LAYER_XAR = "application/vnd.lamina.layer.v1.xar"

_VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


def is_version(text: str) -> bool:
    """Whether it is legal as an OCI tag, and so as a file name: a version must be both."""
    return _VERSION.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Layer:
    """One immutable image, made from the own files of one target, or of several."""

    label: str  # of the target whose files it holds, e.g. `//train:model`; of several, the top one
    tree: Digest  # root of the Merkle tree of those files
    blob: Digest  # the image itself (XAR header + squashfs)
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
        """File name for people: `<target name>-<tree prefix>.xar`."""
        name = self.label.rpartition(":")[2].replace("/", "_")
        more = f"-and-{len(self.held) - 1}" if len(self.held) > 1 else ""
        return f"{name}{more}-{self.tree.short}.xar"


@dataclass(frozen=True, slots=True)
class Package:
    """What is run: layers bottom first, and the run configuration.

    The package root is a union of the layers, mounted at `/packages/<title>`.
    """

    name: str  # `train/model/gpt`: build package and target name, the name in a reference
    version: str  # commit, dirty mark or content digest; legal as OCI tag and file name
    label: str  # the target that was packaged
    layers: tuple[Layer, ...]  # bottom first: what is depended on lies lower
    entry_point: tuple[str, ...] = ()  # argv; the first is relative to the package root
    environment: tuple[tuple[str, str], ...] = ()  # sorted
    interpreter: str = ""  # e.g. `python3.11`; empty for native programs
    base: str = ""  # reference of the base image; empty: the host's root file system
    commit: str = ""  # full commit id; empty without version control
    dirty: bool = False  # inputs differ from the commit

    @property
    def title(self) -> str:
        """`A-<version>`: the stem of package files and the folder under `/packages`."""
        return f"{self.name.rpartition('/')[2]}-{self.version}"

    @property
    def size(self) -> int:
        """Bytes of all layers."""
        return sum(layer.blob.size for layer in self.layers)
