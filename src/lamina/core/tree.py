"""Files by digest: what actions read and write, and what layers hold.

A tree is written down flat, as a mapping from path to node; `lamina.store.trees` turns it into the
Merkle tree of Remote Execution API `Directory` messages whose root digest names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lamina.core.classes import dataclass
from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError


@dataclass(frozen=True, slots=True)
class File:
    """A regular file: its bytes and whether it is executable; owner and times are not kept."""

    digest: Digest
    executable: bool = False


@dataclass(frozen=True, slots=True)
class Symlink:
    """A symbolic link, kept as such."""

    target: str


@dataclass(frozen=True, slots=True)
class Folder:
    """A directory that holds nothing; any other is implied by the paths in it."""


Node = File | Symlink | Folder
Tree = Mapping[str, Node]  # `/`-separated relative path -> node

DEEPEST = 256  # names in a path: whatever walks a tree goes so deep, and no deeper


def check_path(path: str) -> str:
    """Return a relative path that stays in its folder; raises IntegrityError for any other."""
    parts = path.split("/")
    if not path or "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise IntegrityError(f"not a path inside a tree: `{path}`")
    return path


def content_size(tree: Tree) -> int:
    """Bytes of all regular files in a tree."""
    return sum(node.digest.size for node in tree.values() if isinstance(node, File))


def below(folder: str, tree: Tree) -> dict[str, Node]:
    """The same tree under a folder; the folder `.` or `` changes nothing."""
    if folder in ("", "."):
        return dict(tree)
    return {f"{folder}/{path}": node for path, node in tree.items()}


def place(path: str, tree: Tree) -> dict[str, Node]:
    """A tree put at a path; a single file, whose own path is ``, takes the path itself."""
    return {path: tree[""]} if "" in tree else below(path, tree)


def under(folder: str, path: str) -> str:
    """A path below a folder; `.` is the folder itself."""
    return folder if path == "." else f"{folder}/{path}"


def conflicts(paths: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs (file, first path below it) where one path wants a file and another a folder."""
    known = set(paths)
    inner: dict[str, str] = {}  # folder -> a path below it
    for path in known:
        folder = path.rpartition("/")[0]
        while folder and folder not in inner:
            inner[folder] = path
            folder = folder.rpartition("/")[0]
    files = known & inner.keys()
    return [
        (file, min(path for path in known if path.startswith(f"{file}/"))) for file in sorted(files)
    ]


def stacked(trees: Iterable[Tree]) -> dict[str, Node]:
    """What trees show as a stack, bottom first, sorted by path: as overlayfs has it.

    The upper of two files or symlinks counts, folders show the entries of both, and of a file and
    a folder the upper hides the other.
    """
    found: dict[str, Node] = {}
    folders: set[str] = set()
    for path, node in (entry for tree in trees for entry in tree.items()):
        if path in folders:
            if isinstance(node, Folder):
                continue
            inside = {known for known in folders if f"{known}/".startswith(f"{path}/")}
            folders -= inside
            found = {p: n for p, n in found.items() if not p.startswith(f"{path}/")}
        for parent in parents(path):
            found.pop(parent, None)
            folders.add(parent)
        found[path] = node
        if isinstance(node, Folder):
            folders.add(path)
    return dict(sorted(found.items()))


def parents(path: str) -> list[str]:
    """The folders that a path lies in, the outermost first."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def with_folders(tree: Tree) -> dict[str, Node]:
    """The tree with all of its folders, each before what lies in it: as archives list files."""
    folders = {folder for path in tree for folder in parents(path)}
    return dict(sorted({**dict.fromkeys(folders, Folder()), **tree}.items()))
