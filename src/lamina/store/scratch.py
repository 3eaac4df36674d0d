"""Folders for what is not whole yet: one for each process, which holds a lock on it.

What a killed process left is removed when the next one makes its own. Layout:

    <parent>/<pid>-<random>/    files of a running process
    <lock>                      held while such a folder is made or removed
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from pathlib import Path

from lamina.linux import filesystem


class Scratch:
    """The folder of this process, made when it is first asked for."""

    def __init__(self, parent: Path, lock: Path, prefix: str = "") -> None:
        """`lock` must not lie in `parent`, whose name may be removed and made anew."""
        self._prefix = prefix
        self._parent = parent
        self._lock = lock
        self._making = threading.Lock()
        self._folder: Path | None = None
        self._descriptor: int | None = None
        self.name = ""  # of the folder, as text; empty until there is one

    @property
    def folder(self) -> Path:
        """The folder; raises OSError where it cannot be made."""
        if self._folder is not None:
            return self._folder
        with self._making:
            if self._folder is None:
                self._folder = self._make()
                self.name = str(self._folder)
        return self._folder

    def _make(self) -> Path:
        # Held while a folder is made and locked, so that nobody sweeps it in between.
        with filesystem.locked(self._lock):
            filesystem.make_folder(self._parent)
            _sweep(self._parent)
            # Nobody else makes one meanwhile, and what is random is never there by chance.
            folder = self._parent / f"{self._prefix}{os.getpid()}-{os.urandom(6).hex()}"
            folder.mkdir(0o700)
            self._descriptor = _lock_folder(folder)
        return folder

    def hand_on(self) -> None:
        """Let the lock last until the program that takes the place of this process has ended."""
        if self._descriptor is None:
            raise OSError(errno.EWOULDBLOCK, "another process has locked it", self.name)
        os.set_inheritable(self._descriptor, True)

    def sweep(self) -> None:
        """Remove what dead processes have left."""
        if self._parent.exists():
            # The last of those that used it may have removed it until the lock is ours.
            with filesystem.locked(self._lock), contextlib.suppress(FileNotFoundError):
                _sweep(self._parent)

    def close(self) -> None:
        """Remove the folder; a further use makes another one."""
        if self._folder is not None:
            # Threads that a failure has left to themselves may write there still, others beside it:
            # the next one sweeps.
            with filesystem.locked(self._lock), contextlib.suppress(OSError):
                filesystem.remove_tree(self._folder)
                self._parent.rmdir()
            self._folder, self.name = None, ""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _lock_folder(folder: Path) -> int | None:
    """Lock a folder and return the descriptor that holds the lock, or None if another has it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    if filesystem.try_lock(descriptor):
        return descriptor
    os.close(descriptor)
    return None


def _sweep(parent: Path) -> None:
    """Remove the folders of dead processes: those that nobody holds a lock on."""
    for folder in list(parent.iterdir()):
        try:
            descriptor = _lock_folder(folder)
        except (PermissionError, NotADirectoryError):
            continue  # another user's, who removes it; or none of ours
        if descriptor is not None:
            # Programs that the dead one had started may be dying only now, and still write.
            with contextlib.suppress(OSError):
                filesystem.remove_tree(folder)
            os.close(descriptor)
