"""Folder listings, each read once; who looks at a folder is on record, so stat() can tell later
whether anything that loading saw has changed."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType

from lamina.core.classes import dataclass
from lamina.core.errors import UserError

BUILD_NAMES = ("BUILD", "BUILD.bazel", "BUCK")  # the first that exists is the BUILD file
NEVER_ENTERED = frozenset({".git", ".hg", "lamina-out"})
WORKSPACE_FILE = "lamina.toml"


@dataclass(frozen=True, slots=True)
class Listing:
    """The names in a folder; a folder that does not exist lists nothing."""

    files: frozenset[str] = frozenset()
    folders: frozenset[str] = frozenset()
    links: frozenset[str] = frozenset()  # those of the folders that are symbolic links
    dangling: frozenset[str] = frozenset()  # links that lead nowhere now, which this cannot tell of

    @property
    def digest(self) -> str:
        """What it lists, without what is never entered: lamina itself makes `lamina-out`."""
        kinds = (self.files, self.folders - NEVER_ENTERED, self.links - NEVER_ENTERED)
        return sha256(repr([sorted(names) for names in kinds]).encode()).hexdigest()

    @property
    def structure(self) -> str:
        """What decides on build packages: the BUILD file, the folders, and being a workspace."""
        files = self.files.intersection((*BUILD_NAMES, WORKSPACE_FILE))
        kinds = (files, self.folders - NEVER_ENTERED, self.links - NEVER_ENTERED)
        return sha256(repr([sorted(names) for names in kinds]).encode()).hexdigest()

    @property
    def build_file(self) -> str:
        """The name of the BUILD file here, or ""."""
        return next((name for name in BUILD_NAMES if name in self.files), "")


class Disk:
    """Listings of the folders of a workspace, named by their path relative to the root."""

    def __init__(
        self,
        root: Path,
        ignore: tuple[str, ...] = (),
        locate: Callable[[str], str] | None = None,
        roots: Iterable[str] = (),
        build_files: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`locate` tells where a path is; `roots` are the folders of cells in the workspace.

        `build_files` has the BUILD files of folders that have none of their own, or another.
        """
        self.build_files = build_files
        self._root = str(root)
        self._locate = locate or (lambda path: f"{self._root}/{path}" if path else self._root)
        self._ignore = frozenset(ignore)
        self._roots = frozenset(roots)
        self._listings: dict[str, Listing] = {}
        self._digests: dict[str, str] = {}

    def folder(self, path: str) -> Listing:
        """What lies in a folder of the workspace, as it was at the first look."""
        listing = self._listings.get(path)
        if listing is None:
            listing = self._listings[path] = look(self._locate(path))
        return listing

    def digest(self, path: str) -> str:
        """That of the listing of a folder."""
        found = self._digests.get(path)
        if found is None:
            found = self._digests[path] = self.folder(path).digest
        return found

    @property
    def listed(self) -> Mapping[str, Listing]:
        """Every folder looked at, also those that do not exist, as it was at the first look."""
        return MappingProxyType(self._listings)

    def ignores(self, path: str, name: str) -> bool:
        """Whether a folder is never entered: version control, outputs, cells, the ignored ones."""
        return name in NEVER_ENTERED or path in self._ignore or path in self._roots


class View:
    """A disk as one build package sees it: keeps which folders it looked at."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.directories: set[str] = set()

    def folder(self, path: str) -> Listing:
        """As `Disk.folder`, on record."""
        self.directories.add(path)
        return self._disk.folder(path)

    def has_file(self, path: str) -> bool:
        """Whether a regular file (or a link to one) has this path."""
        folder, _, name = path.rpartition("/")
        return name in self.folder(folder).files

    def has_folder(self, path: str) -> bool:
        """Whether a folder (or a link to one) has this path."""
        folder, _, name = path.rpartition("/")
        return not path or name in self.folder(folder).folders

    def build_file(self, package: str) -> str:
        """Path of the BUILD file of a build package, or "" where there is none."""
        elsewhere = self._disk.build_files.get(package)
        if elsewhere is not None:
            return elsewhere
        name = self.folder(package).build_file
        return join(package, name) if name else ""

    def is_separate(self, path: str) -> bool:
        """Whether a folder below a build package is not part of it."""
        listing = self.folder(path)
        name = path.rpartition("/")[2]
        return bool(
            listing.build_file or WORKSPACE_FILE in listing.files or self._disk.ignores(path, name)
        )

    def is_hidden(self, path: str) -> bool:
        """Whether the search for build packages passes a folder by."""
        name = path.rpartition("/")[2]
        return name.startswith(".") or name == "__pycache__" or self._disk.ignores(path, name)


def join(folder: str, name: str) -> str:
    """A path below a folder, either of which may be the root, ""."""
    return f"{folder}/{name}" if folder and name else folder or name


def look(path: str) -> Listing:
    """What lies in a folder now; nothing where there is none. Raises UserError where it is shut."""
    files, folders, links, dangling = [], [], [], []
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                kind = _kind(entry)
                if kind is None:
                    dangling.append(entry.name)
                elif kind == stat.S_IFDIR:
                    folders.append(entry.name)
                    if entry.is_symlink():
                        links.append(entry.name)
                elif kind == stat.S_IFREG:
                    files.append(entry.name)
    except PermissionError as error:
        raise UserError(
            f"may not look into the folder `{path}`",
            hint="let your user read it, or name it in `ignore` in `lamina.toml`",
        ) from error
    except OSError:  # it is not there, is no folder, or a link that leads around in a circle
        return Listing()
    return Listing(frozenset(files), frozenset(folders), frozenset(links), frozenset(dangling))


def _kind(entry: os.DirEntry[str]) -> int | None:
    """The type of what an entry leads to; None where it leads nowhere."""
    try:
        # Most entries are no links: the kernel has told their type with their name.
        if entry.is_dir():
            return stat.S_IFDIR
        if entry.is_file():
            return stat.S_IFREG
        return None if entry.is_symlink() and not Path(entry.path).exists() else 0
    except OSError:
        return None
