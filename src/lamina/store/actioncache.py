"""The action cache of a machine: the digest of an action -> what it left."""

from __future__ import annotations

import json
from pathlib import Path

from lamina.core.action import ActionResult
from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError
from lamina.formats import reapi
from lamina.linux import filesystem
from lamina.store.local import LocalStore


class ActionCache:
    """Results of actions that succeeded, kept beside the blobs they name."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store

    def get(self, action: Digest) -> ActionResult | None:
        """The result, if it is known and every blob it names is still in the store."""
        try:
            data = self._path(action).read_bytes()
            result = reapi.decode_result(data)
        except FileNotFoundError:
            return None
        except IntegrityError:
            # A damaged entry costs one execution; the next `put` replaces it.
            return None
        if not data:
            return None  # what a power cut leaves of a file; it would read as a result of nothing
        return None if self._store.missing(result.blobs()) else result

    def put(self, action: Digest, result: ActionResult) -> None:
        """Keep a result; all blobs it names must be in the store already."""
        data = reapi.encode_result(result)
        filesystem.write_atomic(self._path(action), data, scratch=self._store.scratch)

    def used(self, key: bytes) -> list[tuple[str, ...]]:
        """The sets of paths that a command was seen to read, by what names the command."""
        try:
            return [tuple(paths) for paths in json.loads(self._used(key).read_bytes())]
        except (FileNotFoundError, ValueError, TypeError):
            return []  # a damaged entry costs one execution

    def put_used(self, key: bytes, sets: list[tuple[str, ...]]) -> None:
        """Keep those sets in place of what was kept."""
        data = json.dumps(sets, separators=(",", ":")).encode()
        filesystem.write_atomic(self._used(key), data, scratch=self._store.scratch)

    def _used(self, key: bytes) -> Path:
        name = key.hex()
        return self._store.folder / "actions" / name[:2] / f"{name[2:]}.used"

    def _path(self, action: Digest) -> Path:
        return self._store.folder / "actions" / action.hash[:2] / action.hash[2:]
