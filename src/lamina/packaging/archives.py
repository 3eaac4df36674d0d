"""A package root as a folder or as one archive: written beside its place, then renamed."""

from __future__ import annotations

import contextlib
import gzip
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from lamina.core.classes import dataclass
from lamina.core.digest import Digest
from lamina.core.errors import UserError
from lamina.core.tree import File, Symlink, Tree, with_folders
from lamina.formats import treearchive
from lamina.formats.treearchive import Open
from lamina.linux import filesystem

GZIP_LEVEL = 6
ZSTD_LEVEL = 3
_LEVELS = {"gzip": range(1, 10), "zstd": range(1, 23), "none": range(0)}


@dataclass(frozen=True, slots=True)
class Compression:
    """How an archive is compressed; a level of None is the usual one."""

    name: str  # `gzip`, `zstd`, `none`
    level: int | None = None

    def __post_init__(self) -> None:
        """Raises UserError for a level that there is not."""
        known = _LEVELS[self.name]
        if self.level is not None and self.level not in known:
            hint = f"from {known[0]} to {known[-1]}" if known else "leave `--level` out"
            raise UserError(f"compression `{self.name}` has no level {self.level}", hint=hint)


@contextlib.contextmanager
def compressed(out: IO[bytes], how: Compression) -> Iterator[IO[bytes]]:
    """A stream that compresses into another: it adds no names and times."""
    if how.name == "none":
        yield out
    elif how.name == "gzip":
        with gzip.GzipFile("", "wb", how.level or GZIP_LEVEL, out, mtime=0) as stream:
            yield stream  # type: ignore[misc]
    else:
        import zstandard  # dear, and only met here

        compressor = zstandard.ZstdCompressor(how.level or ZSTD_LEVEL, write_checksum=True)
        with compressor.stream_writer(out, closefd=False) as stream:
            yield stream


def write_tar(tree: Tree, open_blob: Open, target: Path, how: Compression) -> None:
    """Write a tree as a compressed tar archive."""
    with whole(target) as file, compressed(file, how) as stream:
        treearchive.write_tar(tree, open_blob, stream)


def write_zip(tree: Tree, open_blob: Open, target: Path, how: Compression) -> None:
    """Write a tree as a zip archive; `gzip` is the same deflate."""
    level = None if how.name == "none" else how.level or GZIP_LEVEL
    with whole(target) as file:
        treearchive.write_zip(tree, open_blob, file, level)


def write_folder(
    tree: Tree,
    open_blob: Open,
    target: Path,
    path_of: Callable[[Digest], Path] | None = None,
) -> None:
    """Write a tree as a folder, in place of what was there under that name.

    With `path_of`, which gives files that are known to be right, the machine copies those.
    """

    def fill(folder: Path) -> None:
        for path, node in with_folders(tree).items():
            place = folder / path
            if isinstance(node, Symlink):
                place.symlink_to(node.target)
            elif isinstance(node, File) and path_of is not None:
                filesystem.clone_or_copy(path_of(node.digest), place, treearchive.mode(node))
            elif isinstance(node, File):
                with place.open("xb") as file, open_blob(node.digest) as blob:
                    treearchive.copy(blob, file)
            else:
                place.mkdir()
        _settle(folder, tree)

    replace_folder(target, fill)


def _settle(folder: Path, tree: Tree) -> None:
    """Give all in a folder the modes and the time that they have in every other form."""
    for path, node in reversed(with_folders(tree).items()):
        place = folder / path
        if not isinstance(node, Symlink):
            place.chmod(treearchive.mode(node))
        os.utime(place, (0, 0), follow_symlinks=False)
    folder.chmod(0o755)
    os.utime(folder, (0, 0))


@contextlib.contextmanager
def whole(target: Path, mode: int = 0o644) -> Iterator[IO[bytes]]:
    """A file to write that has its name when all of it is there; an earlier one is replaced."""
    try:
        with filesystem.temporary_beside(target) as temporary:
            with temporary.open("wb") as file:
                yield file
                os.fchmod(file.fileno(), mode)
            temporary.replace(target)
    except (IsADirectoryError, NotADirectoryError, FileExistsError, PermissionError) as error:
        raise in_the_way(target, error) from error


def replace_folder(target: Path, fill: Callable[[Path], None]) -> None:
    """Fill a new folder, and put it in the place of the one of that name, if there is one."""
    import tempfile

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".new-", dir=target.parent))
    except OSError as error:
        raise in_the_way(target, error) from error
    try:
        (work / "new").mkdir()
        fill(work / "new")
        try:
            if target.is_symlink() or target.exists():
                target.rename(work / "old")
            (work / "new").rename(target)
        except OSError as error:  # another lamina writes the same just now
            raise in_the_way(target, error) from error
    finally:
        filesystem.remove_tree(work)


def in_the_way(target: Path, error: OSError) -> UserError:
    """What to tell where something can not be written."""
    return UserError(
        f"cannot write `{target}`: {error.strerror}", hint="`-o` names the folder to write to"
    )
