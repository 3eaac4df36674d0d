"""What an image of a file system holds, as values: folders, files, symlinks and whatever else.

Names and targets of symlinks are bytes, as file systems have them.
"""

from __future__ import annotations

from collections.abc import Mapping

from lamina.core.classes import dataclass, field
from lamina.core.errors import IntegrityError

OPAQUE = (
    b"trusted.overlay.opaque",
    b"user.overlay.opaque",
)  # by either, a folder hides those below
_OVERLAYS = (b"trusted.overlay.", b"user.overlay.")  # attributes that overlayfs keeps for itself

CHARACTER = "character device"

Xattrs = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Attributes:
    """What every node has."""

    mode: int  # permissions alone, with setuid and the like: 0o7777 at most
    uid: int = 0
    gid: int = 0
    modified: int = 0  # seconds since 1970
    xattrs: Xattrs = ()  # sorted, without those of overlayfs


@dataclass(frozen=True, slots=True)
class Blocks:
    """Where the bytes of a file lie in its image, as the format has it."""

    start: int  # of the first block, in bytes from the start of the image
    sizes: tuple[int, ...]  # of each block, compressed, with the format's mark; 0 is a hole
    fragment: int | None = None  # the number of the block that holds the rest, with other files'
    offset: int = 0  # of the rest in that block, when it is unpacked
    holes: int = 0  # bytes of holes, as the image tells


@dataclass(frozen=True, slots=True)
class File:
    """A regular file. Two names of one file have equal `image` and `number`."""

    attributes: Attributes
    size: int
    blocks: Blocks
    number: int  # in its image, which parts it from all others there
    image: int = 0  # which of several images it is from


@dataclass(frozen=True, slots=True)
class Symlink:
    """A symbolic link."""

    attributes: Attributes
    target: bytes


@dataclass(frozen=True, slots=True)
class Special:
    """A device, pipe or socket."""

    attributes: Attributes
    kind: str
    device: int = 0  # as the format has it; 0 is device 0:0

    @property
    def is_whiteout(self) -> bool:
        """Whether overlayfs takes it for the mark of something that is gone."""
        return self.kind == CHARACTER and self.device == 0


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder with its entries, sorted by name."""

    attributes: Attributes
    entries: Mapping[bytes, Node] = field(default_factory=dict)
    opaque: bool = False  # hides what lies below it in a stack


Node = Folder | File | Symlink | Special


def split_xattrs(found: Mapping[bytes, bytes]) -> tuple[Xattrs, bool]:
    """The attributes that count, and whether those of overlayfs make the folder opaque."""
    kept = tuple(sorted(item for item in found.items() if not item[0].startswith(_OVERLAYS)))
    return kept, any(found.get(name) == b"y" for name in OPAQUE)


def check_name(name: bytes) -> bytes:
    """The name of an entry, unless it would lead elsewhere; raises IntegrityError."""
    if name in (b"", b".", b"..") or b"/" in name or b"\0" in name or len(name) > 255:
        raise IntegrityError(f"an entry is called {name[:300]!r}, which is no name")
    return name
