"""What programs write to: a layer on top in memory or in a folder, or an own copy in the store.

A copy is a folder that its program holds a lock on. When its last process has ended, by whatever,
an orphan that waits for the lock removes it; if that was killed, the next lamina does so that makes
scratch in the store.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from lamina.core.classes import dataclass
from lamina.core.errors import UserError
from lamina.linux import btrfs, filesystem
from lamina.node.mounts import Upper
from lamina.store.scratch import Scratch

MEMORY = "tmpfs"
PACKAGE, ROOT = "package", "root"  # what is written to


def chosen(text: str) -> Upper:
    """What `--writable` says."""
    if text == MEMORY:
        return Upper(None, PACKAGE)
    if not text:
        raise UserError("`--writable` takes `tmpfs` or a folder")
    return Upper(Path(text).absolute(), PACKAGE)


def of_root(upper: Upper | None) -> Upper | None:
    """The same for the root of a package with a base image."""
    return None if upper is None else Upper(upper.folder, ROOT)


@dataclass(frozen=True, slots=True)
class Open:
    """A detached mount that has two folders, for what is written and for the kernel's work."""

    mount: int
    upper: int
    work: int


@contextlib.contextmanager
def opened(wanted: Upper) -> Iterator[Open]:
    """The two folders that overlayfs wants, in memory or in a folder that nobody else uses."""
    from lamina.linux import namespaces, syscalls

    flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    with contextlib.ExitStack() as held:
        if wanted.folder is None:
            mount = namespaces.detached("tmpfs", {"mode": "0755"}, syscalls.MOUNT_ATTR_NOSUID)
        else:
            mount = syscalls.open_tree(str(claimed(wanted.folder)), recursive=False)
        held.callback(os.close, mount)
        names = [f"{wanted.name}-upper", f"{wanted.name}-work"]
        for name in names:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o755, dir_fd=mount)
        folders = [os.open(name, flags, dir_fd=mount) for name in names]
        for descriptor in folders:
            held.callback(os.close, descriptor)
        yield Open(mount, *folders)


_claimed: set[Path] = set()


def claimed(folder: Path) -> Path:
    """A folder for what one program writes; its lock is handed on to that."""
    if folder in _claimed:
        return folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise UserError(f"can not write in the folder `{folder}`: {error.strerror}") from error
    if not filesystem.try_lock(descriptor):
        os.close(descriptor)
        raise UserError(
            f"another program writes in the folder `{folder}`", hint="give each one of its own"
        )
    os.set_inheritable(descriptor, True)
    _claimed.add(folder)
    return folder


def place(upper: Upper, store: Path, key: str) -> Path:
    """Where an own copy of what has a key lies, or is to be made; see `own`."""
    folder = own(store) if upper.folder is None else claimed(upper.folder)
    return folder / f"{upper.name}-{key[:12]}"


_own: list[Scratch] = []


def own(store: Path) -> Path:
    """A folder in the store for as long as this program runs, or that which takes its place."""
    if not _own:
        scratch = Scratch(store / "tmp", store / "tmp.lock", "job-")
        folder = scratch.folder
        scratch.hand_on()
        _remove_after(folder)
        _own.append(scratch)
    return _own[0].folder


def _remove_after(folder: Path) -> None:
    """Start an orphan that removes a folder when nobody holds a lock on it any more."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        os.setsid()
        if os.fork() == 0:
            _wait_and_remove(folder)
    finally:
        os._exit(0)


def _wait_and_remove(folder: Path) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir("/")
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    for inner in folder.iterdir():
        if btrfs.is_subvolume(inner):
            btrfs.remove(inner)
    filesystem.remove_tree(folder)
