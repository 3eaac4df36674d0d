"""Source files by digest, each read once and then known by its identity on disk.

The digest of a file is kept with what stat() says of it, so an unchanged file is never read again.
A file is copied into the store while it is hashed: what an action sees is what its digest says,
whoever edits the workspace meanwhile.
"""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

from lamina.core.digest import Digest
from lamina.core.errors import UserError
from lamina.core.tree import File, Folder, Node
from lamina.linux import filesystem
from lamina.linux.filesystem import Identity, identity, settled
from lamina.store.local import LocalStore


class Sources:
    """The files of a workspace as nodes of trees; safe to use from several threads."""

    def __init__(
        self,
        root: Path,
        store: LocalStore,
        cache: Path,
        locate: Callable[[str], str] | None = None,
    ) -> None:
        """`cache` keeps the digests between two runs; `locate` tells where a path is."""
        self._locate = locate or (lambda path: f"{root}/{path}")
        self._store = store
        self._cache = cache
        self._known: dict[str, tuple[Identity, str]] = _load(cache)
        self._nodes: dict[str, dict[str, Node]] = {}
        self._lock = threading.Lock()
        self._changed = False

    @property
    def read(self) -> dict[str, File]:
        """Every file that was asked for, as it was read."""
        return {
            path: node
            for tree in self._nodes.values()
            for path, node in tree.items()
            if isinstance(node, File)
        }

    def tree(self, path: str) -> dict[str, Node]:
        """The file at a path, or all below a folder, by path from the root."""
        with self._lock:
            found = self._nodes.get(path)
        if found is None:
            found = self._walk(path) if _is_folder(self._locate(path)) else {path: self._file(path)}
            with self._lock:
                self._nodes[path] = found
        return found

    def forget(self) -> None:
        """Ask the disk for every file again."""
        with self._lock:
            self._nodes.clear()

    def save(self) -> None:
        """Keep the digests for the next run."""
        if self._changed:
            data = {path: [*known, digest] for path, (known, digest) in self._known.items()}
            text = json.dumps(data, separators=(",", ":"))
            filesystem.write_atomic(self._cache, text.encode(), scratch=self._store.scratch)

    def _walk(self, folder: str) -> dict[str, Node]:
        found: dict[str, Node] = {}
        top = self._locate(folder)
        for parent, folders, files in os.walk(top):
            folders.sort()
            relative = folder + parent[len(top) :]
            found.update((f"{relative}/{name}", self._file(f"{relative}/{name}")) for name in files)
            if not folders and not files:
                found[relative] = Folder()
        return found

    def _file(self, path: str) -> File:
        full = self._locate(path)
        start = time.time_ns()
        try:
            status = os.stat(full)
            if not stat.S_ISREG(status.st_mode):
                raise UserError(f"`{path}` is neither a file nor a folder")
            digest = self._digest(path, full, identity(status), start)
        except OSError as error:
            if filesystem.is_full(error):
                raise  # it is the store that could not be written
            raise UserError(f"cannot read `{path}`: {error.strerror}") from error
        return File(digest, bool(status.st_mode & 0o100))

    def _digest(self, path: str, full: str, known: Identity, start: int) -> Digest:
        remembered = self._known.get(path)
        if remembered is not None and remembered[0] == known:
            digest = Digest.parse(remembered[1])
            if self._store.has(digest):
                return digest
        digest = self._store.add(Path(full))
        with self._lock:
            self._changed = True
            if settled(known, start) and identity(os.stat(full)) == known:
                self._known[path] = (known, str(digest))
            else:
                self._known.pop(path, None)
        return digest


def _is_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except OSError:
        return False  # reading it tells what is wrong


def _load(cache: Path) -> dict[str, tuple[Identity, str]]:
    try:
        data = json.loads(cache.read_bytes())
        return {path: (tuple(words[:-1]), words[-1]) for path, words in data.items()}
    except (FileNotFoundError, ValueError, TypeError, AttributeError, IndexError):
        return {}
