"""The action cache of a machine: the digest of an action -> what it left.

Results lie in one SQLite file, as a file for each takes longer to make than many an action runs.
Nothing is synced, as in `LocalStore.add`: an action can run again. So each entry tells its own
checksum, and a file that SQLite cannot read is replaced by an empty one.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from lamina.core.action import ActionResult
from lamina.core.digest import Digest
from lamina.core.errors import HostError, IntegrityError
from lamina.formats import reapi
from lamina.linux import filesystem
from lamina.store.local import LocalStore

if TYPE_CHECKING:
    import sqlite3

T = TypeVar("T")

_LATE = 0.05  # seconds that an entry may wait for others to be written with
_PATIENCE = 60  # seconds to wait for another process that writes
_TABLE = (
    "CREATE TABLE IF NOT EXISTS entries (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"
)
_FULL = 13  # SQLITE_FULL; what follows are SQLITE_BUSY, SQLITE_LOCKED and SQLITE_CANTOPEN too
_NO_DAMAGE = (5, 6, _FULL, 14)
_RESULT, _USED = b"r", b"u"  # what an entry is, before its key


class ActionCache:
    """Results of actions that succeeded, kept beside the blobs they name. A context.

    Safe to use from several threads and processes.
    """

    def __init__(self, store: LocalStore) -> None:
        self._store = store
        self._path = store.folder / "actions" / "results.db"
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._pending: dict[bytes, bytes] = {}
        self._written = 0.0  # when entries were last written

    def __enter__(self) -> ActionCache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write what waits, and let go of the file."""
        self.flush()
        with self._lock:
            self._close()

    def get(self, action: Digest) -> ActionResult | None:
        """The result, if it is known and every blob it names is still in the store."""
        data = self._get(_RESULT + bytes.fromhex(action.hash))
        if not data:
            return None
        try:
            result = reapi.decode_result(data)
        except IntegrityError:
            return None  # it costs one execution; the next `put` replaces it
        return None if self._store.missing(result.blobs()) else result

    def put(self, action: Digest, result: ActionResult) -> None:
        """Keep a result; all blobs it names must be in the store already.

        It may wait for others, until `flush`; who is killed before that runs the action again.
        """
        self._put(_RESULT + bytes.fromhex(action.hash), reapi.encode_result(result))

    def used(self, key: bytes) -> list[tuple[str, ...]]:
        """The sets of paths that a command was seen to read, by what names the command."""
        try:
            return [tuple(paths) for paths in json.loads(self._get(_USED + key))]
        except (ValueError, TypeError):
            return []  # a damaged entry costs one execution

    def put_used(self, key: bytes, sets: list[tuple[str, ...]]) -> None:
        """Keep those sets in place of what was kept."""
        self._put(_USED + key, json.dumps(sets, separators=(",", ":")).encode())

    def settle(self) -> None:
        """Write what has waited long enough for others."""
        if self._pending and time.monotonic() - self._written > _LATE:
            self.flush()

    def flush(self) -> None:
        """Write what waits for others."""
        with self._lock:
            self._flush()

    def _get(self, key: bytes) -> bytes:
        with self._lock:
            if (waiting := self._pending.get(key)) is not None:
                return waiting
            if self._database is None and not self._path.exists():
                return b""
            found = self._mended(lambda database: _select(database, key))
        return found[4:] if found[:4] == _checksum(found[4:]) else b""

    def _put(self, key: bytes, value: bytes) -> None:
        with self._lock:
            self._pending[key] = value
        self.settle()

    def _flush(self) -> None:
        if not self._pending:
            return
        rows = [(key, _checksum(value) + value) for key, value in self._pending.items()]
        self._mended(lambda database: _insert(database, rows))
        self._pending.clear()
        self._written = time.monotonic()

    def _mended(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What some work gives; a damaged file is replaced by an empty one for it."""
        import sqlite3

        # An error may come of another process that has just replaced the file.
        for remedy in (self._close, self._remove):
            try:
                return work(self._open())
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
                if getattr(error, "sqlite_errorcode", 0) in _NO_DAMAGE:
                    raise self._failure(error) from error
                remedy()
        try:
            return work(self._open())
        except sqlite3.DatabaseError as error:
            raise self._failure(error) from error

    def _remove(self) -> None:
        self._close()
        for name in (self._path, Path(f"{self._path}-journal")):
            if not name.is_dir():
                name.unlink(missing_ok=True)

    def _failure(self, error: Exception) -> Exception:
        self._close()
        if getattr(error, "sqlite_errorcode", 0) == _FULL:
            return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        return HostError(
            f"cannot use the action cache `{self._path}`: {error}",
            hint="the store must lie on a file system that has locks; set LAMINA_STORE",
        )

    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            import sqlite3

            filesystem.make_folder(self._path.parent)
            if not self._path.exists():
                os.close(filesystem.open_shared(self._path))  # SQLite would make it for one user
            self._database = sqlite3.connect(
                self._path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False
            )
            # A journal that is written ahead would need memory that all hosts share.
            self._database.execute("PRAGMA journal_mode = TRUNCATE")
            self._database.execute("PRAGMA synchronous = OFF")
            self._database.execute(_TABLE)
        return self._database

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None


def _select(database: sqlite3.Connection, key: bytes) -> bytes:
    row = database.execute("SELECT value FROM entries WHERE key = ?", (key,)).fetchone()
    return bytes(row[0]) if row else b""


def _insert(database: sqlite3.Connection, rows: list[tuple[bytes, bytes]]) -> None:
    with _transaction(database):
        database.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?)", rows)


@contextlib.contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        # What has failed for want of room may be undone already.
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def _checksum(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "big")
