"""Archives into the store: each file becomes a blob, and the whole a tree.

No path of an archive is ever written to the disk, so none can lead anywhere. Still a tree may be
laid out later, and so nothing in it leads out of it: neither a name nor a link, nor a link by way
of another one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from lamina.core.classes import dataclass
from lamina.core.digest import Digest
from lamina.core.tree import File, Folder, Node, Symlink
from lamina.formats import archive
from lamina.formats.archive import ArchiveError, Entry, Kind
from lamina.linux import filesystem
from lamina.store.local import LocalStore

_SMALL = 1 << 20  # bytes that are held in memory
_STEPS = 40  # links in a row that Linux follows
_SHOWN = 5  # entries that a message names


@dataclass(frozen=True, slots=True)
class Unpacking:
    """Which part of an archive is wanted."""

    type: str = ""  # one of archive.TYPES, or "" for what it is
    strip_prefix: str = ""  # the folder in it that is taken for its root; the rest is left out
    excludes: tuple[str, ...] = ()  # regular expressions of paths in it that are left out


def unpack(
    digest: Digest, how: Unpacking, store: LocalStore, go_on: Callable[[], None] = lambda: None
) -> dict[str, Node]:
    """The tree in an archive; raises ArchiveError, and BlobMissing where it is not in the store.

    `go_on` is called before each entry, and may raise what ends it.
    """
    unpacked = _Unpacked(how, store)
    with store.path(digest).open("rb") as file:
        for entry in archive.entries(file, digest.size, how.type):
            go_on()
            unpacked.add(entry)
    return unpacked.tree()


class _Unpacked:
    """What has come out of an archive so far."""

    def __init__(self, how: Unpacking, store: LocalStore) -> None:
        self._store = store
        self._prefix = archive.clean(how.strip_prefix)
        self._excludes = [re.compile(pattern) for pattern in how.excludes]
        self._nodes: dict[str, Node] = {}
        self._parents: set[str] = set()  # folders that something lies in
        self._tops: dict[str, None] = {}  # what the root of the archive has

    def add(self, entry: Entry) -> None:
        """Take one entry up; raises ArchiveError."""
        self._tops[entry.path.partition("/")[0]] = None
        path = self._inside(entry.path)
        if path is None or any(each.match(entry.path) for each in self._excludes):
            return
        if not path:
            if entry.kind is not Kind.FOLDER:
                raise ArchiveError(f"`{self._prefix}` in it is {entry.kind.value}, and no folder")
            return
        self._put(path, self._node(entry))

    def _inside(self, path: str) -> str | None:
        """A path below the prefix; None for one that is not there."""
        if not self._prefix:
            return path
        if path == self._prefix:
            return ""
        start = f"{self._prefix}/"
        return path[len(start) :] if path.startswith(start) else None

    def _node(self, entry: Entry) -> Node:
        if entry.kind is Kind.FILE:
            return File(keep(entry, self._store), entry.executable)
        if entry.kind is Kind.FOLDER:
            return Folder()
        if entry.kind is Kind.LINK:
            return Symlink(_target(entry))
        if entry.kind is Kind.SAME:
            node = self._nodes.get(self._inside(entry.target) or "")
            if isinstance(node, File):
                return node
            raise ArchiveError(
                f"its entry `{entry.path}` is a hard link to `{entry.target}`,"
                " which is no file before it"
            )
        raise ArchiveError(f"its entry `{entry.path}` is {entry.kind.value}")

    def _put(self, path: str, node: Node) -> None:
        known = self._nodes.get(path)
        if known is not None and known != node:
            raise ArchiveError(f"it has two different entries `{path}`")
        if path in self._parents and not isinstance(node, Folder):
            raise ArchiveError(f"its entry `{path}` is also a folder")
        parent = path.rpartition("/")[0]
        while parent and parent not in self._parents:
            if not isinstance(self._nodes.get(parent, Folder()), Folder):
                raise ArchiveError(f"its entry `{path}` lies below `{parent}`, which is no folder")
            self._parents.add(parent)
            parent = parent.rpartition("/")[0]
        self._nodes[path] = node

    def tree(self) -> dict[str, Node]:
        """All of it, once no link leads out of it and the prefix was there."""
        if self._prefix and not self._nodes:
            tops = ", ".join(f"`{name}`" for name in list(self._tops)[:_SHOWN])
            raise ArchiveError(
                f"it has no folder `{self._prefix}`, which `strip_prefix` names",
                hint=f"at its top it has {tops}" if tops else "it is empty",
            )
        tree = {
            path: node
            for path, node in self._nodes.items()
            if not (isinstance(node, Folder) and path in self._parents)
        }
        for path, node in tree.items():
            if isinstance(node, Symlink) and leads_out(path, tree):
                raise ArchiveError(f"its link `{path}` leads out of the folder: `{node.target}`")
        return tree


def lay_out(tree: Mapping[str, Node], folder: Path, store: LocalStore) -> None:
    """Make a folder of a tree: copies of its files, which may be written to."""
    folder.mkdir(parents=True)
    for path, node in tree.items():
        target = folder / path
        if isinstance(node, Folder):
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(node, Symlink):
            target.symlink_to(node.target)
        else:
            mode = 0o755 if node.executable else 0o644
            filesystem.clone_or_copy(store.path(node.digest), target, mode)


def keep(entry: Entry, store: LocalStore) -> Digest:
    """The blob of a file in an archive."""
    data, more = entry.read(_SMALL), entry.read(_SMALL)
    if not more:
        return store.write(data, durable=False)
    with store.incoming(durable=False) as incoming:
        while data:
            incoming.write(data)
            data, more = more, entry.read(_SMALL)
        return incoming.adopt()


def _target(entry: Entry) -> str:
    target = entry.target
    if not target or "\0" in target or not _is_text(target):
        raise ArchiveError(f"its link `{entry.path}` leads nowhere: {target!r}")
    return target


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def leads_out(path: str, tree: Mapping[str, Node]) -> bool:
    """Whether a link leads out of its tree, itself or by way of others.

    Each name is looked up as the kernel would, as `..` behind a link is above what that leads to.
    """
    at: list[str] = []
    waiting = path.split("/")[::-1]
    steps = 0
    while waiting:
        name = waiting.pop()
        if name in ("", "."):
            continue
        if name == "..":
            if not at:
                return True
            at.pop()
            continue
        at.append(name)
        node = tree.get("/".join(at))
        if isinstance(node, Symlink):
            steps += 1
            if node.target.startswith("/"):
                return True
            if steps > _STEPS:
                return False  # it leads round in a circle, and so nowhere
            at.pop()
            waiting += node.target.split("/")[::-1]
    return False
