"""The drivers whose packages are folders of the store: they are shown by a bind mount."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from lamina.linux import namespaces, rights, syscalls
from lamina.node import jobs, mounts
from lamina.store import local


class FolderDriver:
    """Mounts of folders that `find` makes where they are not there, or an own copy to write to."""

    def __init__(self, find: Callable[[Sequence[Path], mounts.Upper | None], Path]) -> None:
        self._find = find
        self.is_user = not rights.may_mount() or rights.in_user_namespace()

    def enter(self, *, writable: bool = False) -> None:
        """Move this process into a mount namespace of its own, as a user into one of users too."""
        if writable:
            jobs.own(local.default_folder())  # who removes that must see the machine as it is
        if not rights.may_mount():
            namespaces.own_user()
        namespaces.own_mounts()

    def stack(self, images: Sequence[Path], upper: mounts.Upper | None = None) -> int:
        """A detached mount of the folder with what the images show as a stack."""
        folder = self._find(images, upper)
        try:
            mount = syscalls.open_tree(str(folder), recursive=False)
            syscalls.mount_setattr(
                mount, syscalls.READ_ONLY if upper is None else syscalls.WRITABLE
            )
        except OSError as error:
            raise mounts.refused(f"`{folder}`", error) from error
        return mount
