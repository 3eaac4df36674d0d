"""Blobs that are compared with their names once, and again when their files have changed.

To be mounted, a layer must be what its name says: no reader of file systems, least of all the
kernel, is to be given bytes that nobody vouches for. To read all of it each time would take longer
than to mount it, so the store keeps which state of the file was compared: its size, times, inode
and mode, in `verified/<2 hex>/<62 hex>`. Whoever copies a store gets other inodes, and each of its
blobs is compared anew.

Who may write into the store can write these notes too: they are against damage, and against blobs
that came from elsewhere, not against the owner of the store.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from pathlib import Path

from lamina.core.digest import Digest
from lamina.linux import filesystem
from lamina.store.local import LocalStore


def path(digest: Digest, store: LocalStore) -> Path:
    """The file of a blob whose bytes match its name; raises as `LocalStore.verify` does.

    The first time takes as long as to read all of it.
    """
    file = store.path(digest)
    note = store.folder / "verified" / digest.hash[:2] / digest.hash[2:]
    state = filesystem.identity(file.stat())
    if _noted(note) == _text(state):
        return file
    begun = time.time_ns()
    store.verify(digest)
    if filesystem.identity(file.stat()) == state and filesystem.settled(state, begun):
        with contextlib.suppress(OSError):  # somebody else's store: it is compared each time
            filesystem.write_atomic(note, _text(state), scratch=store.scratch)
    return file


def members(names: Iterable[str], store: LocalStore) -> None:
    """The same for all blobs of these names that are here, before something is made of them."""
    for digest in filter(None, map(store.find, names)):
        path(digest, store)


def _noted(note: Path) -> bytes:
    try:
        return note.read_bytes()
    except OSError:
        return b""


def _text(state: filesystem.Identity) -> bytes:
    return " ".join(map(str, state)).encode()
