"""Folders that show an action its inputs, and take its outputs; used for one action after another.

Actions of one kind share most of their inputs, and to make and remove a name for each costs more
than many an action: so only what differs from the action before is changed. Inputs are hard links
to blobs that nobody can write to, so what lies in a stage is what was put there.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterable
from pathlib import Path

from lamina.core.action import OUTPUT_FOLDER
from lamina.core.tree import File, Folder, Node, Symlink, Tree
from lamina.linux import filesystem
from lamina.store.blobs import BlobMissing
from lamina.store.local import LocalStore


class Stage:
    """One such place: `work` holds the inputs, `out` what an action makes."""

    def __init__(self, folder: Path, store: LocalStore) -> None:
        self.folder = folder
        self.work, self.out = folder / "work", folder / OUTPUT_FOLDER
        self._store = store
        self._nodes: dict[str, Node] = {}
        self._entries = {"": 1}  # of each folder in `work`: how many lie in it or hold it
        self._idle: set[str] = set()  # folders that have none, perhaps
        self.work.mkdir(parents=True)
        self.out.mkdir()
        self._hold(OUTPUT_FOLDER)

    def lay(self, inputs: Tree, outputs: Iterable[str]) -> None:
        """Show these inputs and no others, and the folders of these outputs, which are empty.

        After an exception the stage is of no more use.
        """
        old = self._nodes
        gone = [path for path, node in old.items() if inputs.get(path) != node]
        for path in gone:
            self._remove(path, old.pop(path))
        for path, node in inputs.items():
            if path not in old:
                self._add(path, node)
        self._nodes = dict(inputs)
        self._sweep()
        self.clear(outputs)

    def clear(self, outputs: Iterable[str] = ()) -> None:
        """Remove all that was made; only the folders of these outputs are there then.

        The Remote Execution API too makes those.
        """
        top = str(self.out)
        wanted = {f"{top}/{above}" for path in outputs for above in _above(path)}
        try:
            _clear(top, wanted)
        except OSError:  # what an action has closed to others, for one
            filesystem.remove_tree(self.out)
            self.out.mkdir()
        for folder in sorted(wanted):
            Path(folder).mkdir(exist_ok=True)

    def _add(self, path: str, node: Node) -> None:
        if isinstance(node, Folder):
            self._hold(path)
            return
        folder = path.rpartition("/")[0]
        self._hold(folder)
        if path in self._entries:
            self._sweep()
        target = self.work / path
        if isinstance(node, File):
            source = self._store.path(node.digest, executable=node.executable)
            try:
                filesystem.link_or_copy(source, target, 0o555 if node.executable else 0o444)
            except FileNotFoundError:
                if source.exists():
                    raise
                # Somebody collects garbage: it is made anew once that is known.
                raise BlobMissing(node.digest) from None
        else:
            target.symlink_to(node.target)

    def _remove(self, path: str, node: Node) -> None:
        if isinstance(node, File | Symlink):
            (self.work / path).unlink()
            path = path.rpartition("/")[0]
        self._release(path)

    def _hold(self, folder: str) -> None:
        """Make a folder where there is none, and let it stay for one more reason."""
        count = self._entries.get(folder)
        if count is None:
            self._hold(folder.rpartition("/")[0])
            (self.work / folder).mkdir()
            count = 0
        self._entries[folder] = count + 1

    def _release(self, folder: str) -> None:
        self._entries[folder] -= 1
        if not self._entries[folder]:
            self._idle.add(folder)

    def _sweep(self) -> None:
        """Remove the folders that nothing lies in any more."""
        while self._idle:
            folder = self._idle.pop()
            if self._entries.get(folder) == 0:
                (self.work / folder).rmdir()
                del self._entries[folder]
                self._release(folder.rpartition("/")[0])


def _above(path: str) -> list[str]:
    """The folders that a path lies in."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _clear(top: str, kept: Container[str]) -> None:
    """Remove all in a folder but for some folders, which get their usual mode."""
    for parent, folders, files in os.walk(top, topdown=False):
        for name in files:
            Path(parent, name).unlink()
        for name in folders:
            path = f"{parent}/{name}"
            if (folder := Path(path)).is_symlink():
                folder.unlink()
            elif path in kept:
                folder.chmod(0o755)
            else:
                folder.rmdir()
