"""The folder of a container that runs, and what becomes of it; nothing dear is imported here.

`<state>/containers/<id>/` holds the bundle, `lock`, which lamina keeps locked while the container
runs, and `record.json` (`running`). A folder whose lock is free is of a container that has ended:
whoever meets it removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence

from lamina.core.places import LOCK, RECORD, ROOT
from lamina.linux.group import Group
from lamina.node import state
from lamina.node.janitor import Janitor

_YOUNG = 60  # seconds in which a folder may wait for its record


def shelf() -> str:
    """The folder of this user's containers."""
    return f"{state.folder()}/containers"


@contextlib.contextmanager
def opened(
    id_: str, candidates: Sequence[str], make: Callable[[], Group]
) -> Iterator[tuple[str, Group]]:
    """A folder and a control group for a container; gone after the block, or after a kill.

    `make` makes the group, at some of the `candidates`.
    """
    sweep()
    folder = f"{shelf()}/{id_}"
    janitor = Janitor(folder, candidates)
    lock = -1
    try:
        lock = claim(folder)
        os.mkdir(f"{folder}/{ROOT}")  # noqa: PTH102 - pathlib is dear
        yield folder, make()
    finally:
        janitor.end()
        if lock >= 0:
            os.close(lock)


def claim(folder: str) -> int:
    """Make a container's folder; the descriptor that keeps it locked."""
    os.makedirs(folder, 0o700)  # noqa: PTH103
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    descriptor = os.open(f"{folder}/{LOCK}", flags, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def announce(folder: str, record: str) -> None:
    """Let others know of a container; the file is there with all of it, or not."""
    temporary = f"{folder}/.{RECORD}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, record.encode())
    finally:
        os.close(descriptor)
    os.rename(temporary, f"{folder}/{RECORD}")  # noqa: PTH104


def sweep() -> None:
    """Remove what is left of containers whose lamina was killed together with its janitor."""
    for folder in folders():
        ended(folder)


def folders() -> Iterator[str]:
    """The folders of this user's containers."""
    with contextlib.suppress(FileNotFoundError), os.scandir(shelf()) as entries:
        for entry in entries:
            yield entry.path


def ended(folder: str) -> bool:
    """Whether nobody keeps a container's folder any more; it is removed then."""
    try:
        descriptor = os.open(f"{folder}/{LOCK}", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return not _is_young(folder) and _clear(folder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.exists(f"{folder}/{RECORD}") and _is_young(folder):  # noqa: PTH110
            return False
        return _clear(folder)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)


def _is_young(folder: str) -> bool:
    try:
        return time.time() - os.stat(folder).st_mtime < _YOUNG
    except FileNotFoundError:
        return False


def _clear(folder: str) -> bool:
    from lamina.node import janitor, running  # dear, and seldom met

    record = running.read(folder)
    if record is not None:
        record.cgroup.remove()
    janitor.remove(folder)
    return True
