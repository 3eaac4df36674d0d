"""Source files by digest, each read once and then known by its identity on disk.

The digest of a file is kept with what stat() says of it, so an unchanged file is not read again to
know it. The store takes a file when it is hashed, or promises what its digest says: what an action
sees is that, whoever edits the workspace meanwhile.
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

_SMALL = 1 << 16  # bytes that are read at once


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
        found = self._nodes.get(path)
        if found is None:
            full = self._locate(path)
            start = time.time_ns()
            try:
                status = os.stat(full)
            except OSError as error:
                raise _unreadable(path, error) from error
            if stat.S_ISDIR(status.st_mode):
                found = self._walk(path)
            else:
                found = {path: self._file(path, full, status, start)}
            with self._lock:
                self._nodes[path] = found
        return found

    def forget(self) -> None:
        """Read every file again."""
        with self._lock:
            self._nodes.clear()
            self._known.clear()

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
            found.update(
                (f"{relative}/{name}", self._below(f"{relative}/{name}")) for name in files
            )
            if not folders and not files:
                found[relative] = Folder()
        return found

    def _below(self, path: str) -> File:
        full = self._locate(path)
        start = time.time_ns()
        try:
            return self._file(path, full, os.stat(full), start)
        except OSError as error:
            raise _unreadable(path, error) from error

    def _file(self, path: str, full: str, status: os.stat_result, start: int) -> File:
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"`{path}` is neither a file nor a folder")
        known = identity(status)
        remembered = self._known.get(path)
        if remembered is not None and remembered[0] == known:
            digest = Digest.parse(remembered[1])
            self._store.promise(digest, full)
        else:
            digest = self._read(path, full, known, start)
        return File(digest, bool(status.st_mode & 0o100))

    def _read(self, path: str, full: str, known: Identity, start: int) -> Digest:
        try:
            data, now = filesystem.read_small(full, _SMALL)
            if data is None:
                digest = self._store.add(Path(full))
                now = identity(os.stat(full))
            else:
                digest = self._store.hold(data)
        except OSError as error:
            if filesystem.is_full(error):
                raise  # it is the store that could not be written
            raise _unreadable(path, error) from error
        with self._lock:
            self._changed = True
            if now == known and settled(known, start):
                self._known[path] = (known, str(digest))
            else:
                self._known.pop(path, None)
        return digest


def _unreadable(path: str, error: OSError) -> UserError:
    return UserError(f"cannot read `{path}`: {error.strerror}")


def _load(cache: Path) -> dict[str, tuple[Identity, str]]:
    try:
        data = json.loads(cache.read_bytes())
        return {path: (tuple(words[:-1]), words[-1]) for path, words in data.items()}
    except (FileNotFoundError, ValueError, TypeError, AttributeError, IndexError):
        return {}
