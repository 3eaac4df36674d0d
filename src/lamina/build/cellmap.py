"""Cells: other roots that labels may start from, `@name//folder:target`.

Every file has one path from the root of the workspace: that of a cell which lies in the workspace
starts with its folder, that of any other with `external/<name>`. Some cells come with this program:
what is expected of `@platforms` or `@bazel_skylib` lies below `cells/`, beside this module.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from lamina.build import fetchedcells
from lamina.build.fetchedcells import Fetched
from lamina.core.classes import dataclass, field
from lamina.core.label import Home

OTHERS = "*"  # stands for all cells that are not named
EXTERNAL = "external"  # where the files of cells that lie elsewhere have their paths
_BUILT_IN = Path(__file__).parent / "cells"
_NAMED = re.compile(
    r"""^(?:module|workspace)\s*\([^)]*?\bname\s*=\s*["']([^"']+)["']""", re.M | re.S
)
NAMING = ("MODULE.bazel", "WORKSPACE", "WORKSPACE.bazel")  # files that may tell a root's own name


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of a workspace; its own name is "", and so is its folder."""

    folders: Mapping[str, str]  # name -> folder, from the root of the workspace
    elsewhere: Mapping[str, str]  # folders of those -> where they are, absolute
    names: Mapping[str, str]  # other name -> name
    absent: frozenset[str] = frozenset()  # those that are not here, which is no fault
    build_files: Mapping[str, str] = field(default_factory=dict)  # of roots: folder -> path
    fetched: Mapping[str, Fetched] = field(default_factory=dict)  # folder -> what it is made of
    others_absent: bool = False  # whether all that is not known is not here

    def home(self, cell: str, package: str) -> Home:
        """Where the labels of a build package are written."""
        return Home(package, cell, self.names)

    def has(self, cell: str) -> bool:
        """Whether there is a cell of this name."""
        return cell in self.folders or (cell in built_in() and cell not in self.absent)

    def is_absent(self, cell: str) -> bool:
        """Whether it is said of a cell that it is not here."""
        return cell in self.absent or (self.others_absent and cell != "" and not self.has(cell))

    def folder(self, cell: str, package: str = "") -> str:
        """The folder of a build package from the root of the workspace."""
        if not cell:
            return package
        root = self.folders.get(cell) or f"{EXTERNAL}/{cell}"
        return f"{root}/{package}" if package else root

    def owner(self, path: str) -> tuple[str, str]:
        """The cell that a path from the root of the workspace lies in, and its path in there."""
        for cell, folder in self.folders.items():
            if path == folder or path.startswith(f"{folder}/"):
                return cell, path[len(folder) + 1 :]
        first, _, rest = path.partition("/")
        cell, _, rest = rest.partition("/")
        return (cell, rest) if first == EXTERNAL and cell in built_in() else ("", path)

    def disk_path(self, path: str) -> str:
        """Where a file is: absolute when it lies outside of the workspace, else unchanged."""
        if not path.startswith(f"{EXTERNAL}/"):
            return path
        parts = path.split("/", 2)
        root = self.elsewhere.get("/".join(parts[:2]))
        if root is None and parts[1] in built_in():
            root = f"{_BUILT_IN}/{parts[1]}"
        return path if root is None else "/".join([root, *parts[2:]])

    def ensure(self, path: str) -> None:
        """See to it that the cell of a path is there, where it is one that is fetched."""
        if self.fetched and path.startswith(f"{EXTERNAL}/"):
            folder = "/".join(path.split("/", 2)[:2])
            if folder in self.fetched:
                fetchedcells.ensure(self.fetched[folder], self.elsewhere[folder])


NO_CELLS = Cells({}, {}, {})


@cache
def built_in() -> frozenset[str]:
    """The names of the cells that come with this program."""
    return frozenset(path.name for path in _BUILT_IN.iterdir() if not path.name.startswith("_"))


# A folder, false, `folder` and `build_file`, or an archive and its `build_file`.
Setting = str | bool | Mapping[str, Any]


def read(root: Path, settings: Mapping[str, Setting], name: str) -> Cells:
    """The cells that `lamina.toml` maps to folders, or to false; a root has its own name."""
    build_files: dict[str, str] = {}
    folders: dict[str, str] = {}
    elsewhere: dict[str, str] = {}
    fetched: dict[str, Fetched] = {}
    known: dict[Path, str] = {}
    names = dict.fromkeys((name, *own_names(root)), "")
    absent = frozenset(cell for cell, each in settings.items() if isinstance(each, bool))
    for cell, setting in settings.items():
        if isinstance(setting, bool):
            continue
        if not isinstance(setting, str) and "folder" not in setting:
            folders[cell] = folder = f"{EXTERNAL}/{cell}"
            fetched[folder] = fetchedcells.read(cell, setting, lambda text: _below(root, text))
            elsewhere[folder] = fetched[folder].folder()
            if "build_file" in setting:
                build_files[folder] = _from_root(setting["build_file"])
            continue
        text = setting if isinstance(setting, str) else setting["folder"]
        place = (root / Path(text).expanduser()).resolve()
        if place in known:
            names[cell] = known[place]
            continue
        if place == root:
            names[cell] = ""
        elif place.is_relative_to(root):
            folders[cell] = place.relative_to(root).as_posix()
        else:
            folders[cell] = f"{EXTERNAL}/{cell}"
            elsewhere[folders[cell]] = str(place)
        known[place] = names.get(cell, cell)
        if not isinstance(setting, str) and "build_file" in setting:
            build_files[folders.get(cell, "")] = _from_root(setting["build_file"])
    for place, cell in known.items():
        for other in own_names(place):
            if other not in folders:
                names.setdefault(other, cell)
    names = {k: v for k, v in names.items() if k not in folders and k not in absent}
    others = OTHERS in absent
    return Cells(folders, elsewhere, names, absent - {OTHERS}, build_files, fetched, others)


def _from_root(text: str) -> str:
    """A path from the root, which may be written as a label: `//third_party:zlib.BUILD`."""
    path = text.removeprefix("@").removeprefix("//").replace(":", "/")
    return posixpath.normpath(path.lstrip("/"))


def _below(root: Path, text: str) -> str:
    return str(root / _from_root(text))


def own_names(root: Path) -> list[str]:
    """What a root calls itself in `module(name = ...)` or `workspace(name = ...)`."""
    found = []
    for file in NAMING:
        try:
            text = (root / file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        found += _NAMED.findall(text)
    return found
