"""Mount drivers: how the images of a package become one detached, read-only mount.

A detached mount has no place yet: it is a descriptor, and gone when that closes. So a crash
half-way leaves nothing, and the one call that gives it a place comes last.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from lamina.core.classes import dataclass
from lamina.core.errors import HostError, IntegrityError, UserError
from lamina.formats import erofs, squashfs, xar
from lamina.linux import drivers
from lamina.node.attach import EROFS as EROFS
from lamina.node.attach import SQUASHFS as SQUASHFS

MOST_LAYERS = 500  # overlayfs stacks no more


class Driver(Protocol):
    """A way to mount images for one program."""

    is_user: bool  # whether it mounts in a user namespace

    def enter(self, *, writable: bool = False) -> None:
        """Move this process into a mount namespace of its own.

        What is to be `writable` there must belong to who runs this: see `namespaces.own_user`.
        """

    def stack(self, images: Sequence[Path], upper: Upper | None = None) -> int:
        """A detached mount of the images, bottom first; after `enter`. With an upper, writable."""


@dataclass(frozen=True, slots=True)
class Upper:
    """Where what a program writes to its package goes."""

    folder: Path | None  # None: to memory, or to the store for the time of the job
    name: str  # what is written to: of the package, or of the root


def driver(name: str) -> Driver:
    """The driver of that name, as `lamina.linux.drivers` chose it."""
    if name == drivers.KERNEL:
        from lamina.node.kernel import KernelDriver

        return KernelDriver()
    if name in (drivers.BTRFS, drivers.COPY):
        from lamina.node import copied, subvolumes
        from lamina.node.folders import FolderDriver

        return FolderDriver(subvolumes.root if name == drivers.BTRFS else copied.root)
    from lamina.node.fuse import FuseDriver  # each brings modules that the other does without

    return FuseDriver()


@dataclass(frozen=True, slots=True)
class Image:
    """An open image file: the file system, `squashfs` or `erofs`, starts at `offset`."""

    path: Path
    descriptor: int
    kind: str
    offset: int


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Image]:
    """Open a XAR, a bare squashfs image or an EROFS image, and find where it starts.

    Raises IntegrityError naming the file if it is none.
    """
    try:
        # Of a pipe in its place, it would else wait for who writes into that.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise UserError(f"can not open the image `{path}`: {error.strerror}") from error
    try:
        yield Image(path, descriptor, *_found(descriptor, path))
    finally:
        os.close(descriptor)


def _found(descriptor: int, path: Path) -> tuple[str, int]:
    """The file system in a file, and where it starts; all of it is checked to be there.

    The kernel and squashfuse mount an image that lacks its end, if its tables are not in that.
    """
    try:
        first_bytes = os.pread(descriptor, xar.SIZE + squashfs.SUPERBLOCK_SIZE, 0)
        size = os.fstat(descriptor).st_size
        if first_bytes.startswith(squashfs.MAGIC):
            _check_size(squashfs.parse(first_bytes).bytes_used, size)
            return SQUASHFS, 0
        if erofs.is_image(first_bytes):
            _check_size(erofs.parse(first_bytes).size, size)
            return EROFS, 0
        if not xar.is_whole(first_bytes):
            first_bytes = os.pread(descriptor, xar.LARGEST, 0)
        offset = xar.decode(first_bytes).offset
        if offset >= size:
            raise IntegrityError(f"its OFFSET {offset} is past its end, at {size}")
        superblock = squashfs.parse(os.pread(descriptor, squashfs.SUPERBLOCK_SIZE, offset))
        _check_size(superblock.bytes_used, size - offset)
    except IntegrityError as error:
        raise IntegrityError(f"`{path}`: {error.message}", hint=error.hint) from error
    except OSError as error:
        raise UserError(f"can not read the image `{path}`: {error.strerror}") from error
    return SQUASHFS, offset


def _check_size(wanted: int, found: int) -> None:
    if wanted > found:
        raise IntegrityError(
            f"its image says that it has {wanted} bytes, and only {found} are there",
            hint="it was cut off: copy or fetch it again",
        )


def offset(path: Path) -> int:
    """Where the file system of an image file starts."""
    with opened(path) as image:
        return image.offset


def size(path: Path) -> int:
    """The bytes of an image file; raises UserError."""
    try:
        return os.stat(path).st_size
    except OSError as error:
        raise UserError(f"can not open the image `{path}`: {error.strerror}") from error


def is_erofs(path: Path) -> bool:
    """Whether an image file has the mark of EROFS; nothing else of it is checked."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise UserError(f"can not open the image `{path}`: {error.strerror}") from error
    try:
        return erofs.is_image(os.pread(descriptor, erofs.SUPERBLOCK_OFFSET + 4, 0))
    except OSError as error:
        raise UserError(f"can not read the image `{path}`: {error.strerror}") from error
    finally:
        os.close(descriptor)


def kind(path: Path) -> str:
    """Which file system an image file holds."""
    with opened(path) as image:
        return image.kind


def content(image: Path, folder: Path) -> str:
    """The sha256 of an image: a blob of the store in a folder is named by it."""
    if image.parent.parent == folder / "blobs":
        return image.parent.name + image.name
    import hashlib  # images of elsewhere are seldom met

    with opened(image) as found, open(found.descriptor, "rb", closefd=False) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_count(images: Sequence[Path]) -> None:
    """UserError where there are no layers."""
    if not images:
        raise UserError("a package without layers can not be mounted")


def refused(what: str, error: OSError) -> HostError:
    """A mount call that the kernel refused, as an error for a person."""
    return HostError(
        f"can not mount {what}: {error.strerror}",
        hint="`lamina doctor` shows what this machine allows",
    )
