"""The driver `fuse`: squashfuse serves images, overlayfs stacks them; no root.

Small layers are merged before, and EROFS, which squashfuse does not know: each image costs a
process. Where the kernel refuses an overlay, all are merged into one image.

The FUSE mounts are made here, with the capabilities of our own user namespace, and squashfuse_ll
is handed the open /dev/fuse as mount point `/dev/fd/3` (libfuse 3 knows that form): so layers can
be detached mounts too, and the server needs no privilege. Any access waits until the server
answers, or fails when it has died; there is nothing to poll.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from lamina.core.errors import HostError
from lamina.linux import fuse, namespaces, process, rights, syscalls
from lamina.node import attach, mounts, parts, plan, served
from lamina.node.keeper import Keeper
from lamina.node.stack import stack

_FAULTY = "`lamina doctor` shows what this machine allows"


class FuseDriver:
    """Mounts served by processes of the caller's own."""

    def __init__(self) -> None:
        self._squashfuse = str(process.require("squashfuse_ll"))
        self.is_user = not rights.may_mount() or rights.in_user_namespace()
        self._keeper: Keeper | None = None

    def enter(self, *, writable: bool = False) -> None:
        """Move this process into a user and a mount namespace of its own.

        The keeper starts between the two: /dev/fuse must be opened in the user namespace that
        mounts it, and the servers must not hold the mount namespace that they serve.
        """
        if not rights.may_mount():
            namespaces.own_user(as_root=writable)
        self._keeper = Keeper()
        namespaces.own_mounts()

    def stack(self, images: Sequence[Path], upper: mounts.Upper | None = None) -> int:
        """A detached mount of the images, bottom first; they are merged where that is better.

        Other images can be stacked after these; the keeper is let go by the exec of the program.
        """
        mounts.check_count(images)
        if self._keeper is None:
            raise RuntimeError("stack() before enter()")
        try:
            return self._stack(parts.images(plan.of(images, plan.FUSE), plan.FUSE.most), upper)
        except _NotStacked as error:
            if upper is not None:
                raise HostError(
                    f"nothing can be written on top of layers here: {error}",
                    hint="for an ordinary user the kernel does that from Linux 5.11 on; "
                    "`--driver copy` makes a copy",
                ) from error
            return self._stack(parts.images(plan.of(images, plan.ALL_AS_ONE), 1), None)

    def _layer(self, path: Path, keeper: Keeper) -> int:
        try:
            if path.is_dir():
                return attach.open_folder(path)
        except OSError as error:
            raise mounts.refused(f"`{path}`", error) from error
        offset = mounts.offset(path)
        try:
            layer, device = fuse.connect(str(path), syscalls.READ_ONLY)
        except OSError as error:
            raise mounts.refused(f"`{path}`", error) from error
        keeper.serve(served.command(self._squashfuse, str(path.absolute()), offset), [device])
        os.close(device)
        return layer

    def _stack(self, images: Sequence[Path], upper: mounts.Upper | None) -> int:
        assert self._keeper is not None
        with contextlib.ExitStack() as held:
            layers = []
            for path in images:
                layers.append(self._layer(path, self._keeper))
                held.callback(os.close, layers[-1])
            try:
                is_one = len(layers) == 1 and upper is None
                top = os.dup(layers[0]) if is_one else stack(layers, upper, user=self.is_user)
                os.fstatvfs(top)
            except OSError as error:
                _check_answers(images, layers, self._keeper)
                if len(layers) == 1 and upper is None:
                    raise mounts.refused(f"`{images[0]}`", error) from error
                raise _NotStacked(error.strerror) from error
            return top


class _NotStacked(Exception):
    """The kernel stacks nothing for this user."""


def _check_answers(images: Sequence[Path], layers: Sequence[int], keeper: Keeper) -> None:
    """HostError naming the first layer whose server does not answer."""
    for path, layer in zip(images, layers, strict=True):
        try:
            os.fstatvfs(layer)
        except OSError as error:
            words = f": {keeper.words}" if keeper.words else ""
            raise HostError(f"squashfuse_ll can not serve `{path}`{words}", hint=_FAULTY) from error
