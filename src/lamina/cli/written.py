"""What lamina wrote for a person, known again: so that it is not written twice.

A file counts as it was left if `stat()` tells of it what it told then.
"""

from __future__ import annotations

from pathlib import Path

from lamina.core.tree import File, Node, Symlink, Tree
from lamina.formats import kept
from lamina.linux import filesystem

Mark = tuple[str | int, ...]
_FORMAT = "lamina written folder 1"


def mark(node: Node, target: Path) -> Mark:
    """What a written output is known by: its content, and what `stat()` says of it."""
    try:
        status = target.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return ()
    return (_content(node), *filesystem.identity(status))


def _content(node: Node) -> str:
    if isinstance(node, File):
        return f"{node.digest.hash}{' executable' * node.executable}"
    return f"-> {node.target}" if isinstance(node, Symlink) else "folder"


class Written:
    """What was left in a folder the last time; kept in the file `memory`."""

    def __init__(self, memory: Path, folder: Path, scratch: Path) -> None:
        self._memory = memory
        self._folder = folder
        self._scratch = scratch
        self._known: dict[str, Mark] = kept.read(memory, _FORMAT) or {}

    def earlier(self, path: str, node: File) -> Path | None:
        """The file that lies there already with a content, if nobody has touched it."""
        known = self._known.get(path)
        place = self._folder / path
        return place if known and known == mark(node, place) else None

    def keep(self, tree: Tree) -> None:
        """Remember the files of a tree, which have just been written."""
        marks = {
            path: mark(node, self._folder / path)
            for path, node in tree.items()
            if isinstance(node, File)
        }
        kept.write(self._memory, _FORMAT, marks, self._scratch)
