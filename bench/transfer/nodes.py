"""Many nodes that pull one package at once: processes with a store of their own each.

They are forked when all that a pull needs has been imported, and wait for one signal to begin. What
is measured is what they do to the registry and to each other, not the start of Python.
"""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lamina.core.digest import Digest
from lamina.core.reference import parse
from lamina.node import pull as pulling
from lamina.store import packages
from lamina.store.local import LocalStore
from lamina.store.repositories import open_repository
from lamina.store.transport import Access


@dataclass(frozen=True, slots=True)
class Pulled:
    """How long nodes took, in seconds from the common start."""

    last: float
    median: float


def pull_at_once(reference: str, stores: Sequence[Path], warm_up: Path) -> Pulled:
    """Let a node for each store pull, after one more that has the store `warm_up`.

    Raises RuntimeError where one has not all of it then.
    """
    _pull(reference, warm_up)  # imports what the children need, too
    begin_read, begin_write = os.pipe()
    done_read, done_write = os.pipe()
    children = []
    gc.freeze()  # what the children share with this process stays shared
    for store in stores:
        child = os.fork()
        if child == 0:
            os.close(begin_write)
            _node(reference, store, begin_read, done_write)
        children.append(child)
    os.close(begin_read)
    os.close(done_write)
    time.sleep(0.3)  # until all wait
    begun = time.monotonic()
    os.close(begin_write)
    times = []
    with open(done_read, "rb") as file:  # noqa: PTH123 - a pipe has no path
        while file.read(1):
            times.append(time.monotonic() - begun)
    failed = sum(os.waitpid(child, 0)[1] != 0 for child in children)
    # Only now, as it would keep the processors from those that are still pulling.
    failed += sum(not _has_all(reference, store) for store in stores)
    if failed:
        raise RuntimeError(f"{failed} of {len(children)} nodes failed")
    return Pulled(max(times), statistics.median(times))


def _node(reference: str, store: Path, begin: int, done: int) -> None:
    code = 1
    try:
        opened = LocalStore(store)
        os.read(begin, 1)
        _pull_into(opened, reference)
        os.write(done, b"\0")
        code = 0
    finally:
        os._exit(code)


def _has_all(reference: str, store: Path) -> bool:
    opened = LocalStore(store)
    try:
        repository = open_repository(parse(reference), Access())
        wanted = repository.manifest(repository.reference.wanted).digest
        repository.close()
        return packages.is_whole(wanted, opened)
    finally:
        opened.close()


def _pull(reference: str, store: Path) -> None:
    opened = LocalStore(store)
    _pull_into(opened, reference)
    opened.close()


def _pull_into(store: LocalStore, reference: str) -> Digest:
    repository = open_repository(parse(reference), Access())
    try:
        return pulling.pull(repository, store).digest
    finally:
        repository.close()
