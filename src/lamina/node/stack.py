"""Stacking: detached mounts of layers become one overlay, itself detached.

https://docs.kernel.org/filesystems/overlayfs.html
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence

from lamina.core.errors import HostError
from lamina.linux import namespaces, syscalls

TYPE_CHECKING = False  # `typing` is dear
if TYPE_CHECKING:
    import socket

    from lamina.node.jobs import Open
    from lamina.node.mounts import Upper


def stack(layers: Sequence[int], upper: Upper | None = None, *, user: bool = False) -> int:
    """A detached mount of layers given bottom first; without an upper, a single one is itself.

    `user` is for mounts made inside a user namespace. Raises OSError as the kernel does.
    """
    if upper is not None:
        from lamina.node import jobs

        with jobs.opened(upper) as written:
            return _stack(layers, written, user=user)
    return os.dup(layers[0]) if len(layers) == 1 else _stack(layers, None, user=user)


def _stack(layers: Sequence[int], written: Open | None, *, user: bool) -> int:
    try:
        return _by_descriptors(layers, written, user=user)
    except OSError as error:
        if error.errno not in _OLD:
            raise
    return _in_child(lambda: _by_names(layers, written, user=user))


# Linux before 6.15 stacks only what is attached, before 6.5 only by one option string.
_OLD = (errno.EINVAL, errno.EOPNOTSUPP)


def _by_descriptors(layers: Sequence[int], written: Open | None, *, user: bool) -> int:
    # The root of a stack has the mode that the kernel knows of the top one: of FUSE none, which
    # lets nobody without rights in, until its server was asked.
    os.fstat(layers[-1])
    context = syscalls.fsopen("overlay")
    try:
        if user:
            syscalls.fsconfig_flag(context, "userxattr")
        for layer in reversed(layers):  # the kernel wants the top first
            syscalls.fsconfig_fd(context, "lowerdir+", layer)
        if written is not None:
            syscalls.fsconfig_fd(context, "upperdir", written.upper)
            syscalls.fsconfig_fd(context, "workdir", written.work)
        syscalls.fsconfig_create(context)
        return syscalls.fsmount(
            context, syscalls.READ_ONLY if written is None else syscalls.WRITABLE
        )
    finally:
        os.close(context)


def _by_names(layers: Sequence[int], written: Open | None, *, user: bool) -> int:
    """Attach the layers under short names in a mount namespace that nobody else sees."""
    namespaces.own_mounts()
    folder = namespaces.detached("tmpfs", {}, 0)
    syscalls.move_mount(folder, "/")
    with namespaces.elsewhere(folder):
        for number, layer in enumerate(layers):
            os.fstat(layer)  # as above, and before 6.7 for each layer
            os.mkdir(f"{number:x}", dir_fd=folder)
            syscalls.move_mount(layer, f"{number:x}", at=folder)
        os.mkdir("stack", dir_fd=folder)
        names = ":".join(f"{number:x}" for number in reversed(range(len(layers))))
        options = f"lowerdir={names}" + (",userxattr" if user else "")
        flags = syscalls.MS_NOSUID | syscalls.MS_NODEV
        if written is None:
            flags |= syscalls.MS_RDONLY
        else:
            os.mkdir("written", dir_fd=folder)
            syscalls.move_mount(written.mount, "written", at=folder)
            upper, work = (_name(each) for each in (written.upper, written.work))
            options += f",upperdir=written/{upper},workdir=written/{work}"
        syscalls.mount("overlay", "stack", "overlay", flags, options)
        return syscalls.open_tree("stack", recursive=False)


def _name(descriptor: int) -> str:
    return os.readlink(f"/proc/self/fd/{descriptor}").rpartition("/")[2]  # noqa: PTH115


def _in_child(make: Callable[[], int]) -> int:
    """A descriptor that a forked child makes and hands over: its namespaces end with it."""
    import socket  # dear, and met only by old kernels

    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        _hand_over(make, theirs)
    theirs.close()
    with ours:
        answer, descriptors, _, _ = socket.recv_fds(ours, 4, 1)
    os.waitpid(child, 0)
    if not descriptors:
        code = int.from_bytes(answer, "little")
        raise OSError(code, os.strerror(code), "overlay")
    return descriptors[0]


def _hand_over(make: Callable[[], int], to: socket.socket) -> None:
    import socket

    try:
        socket.send_fds(to, [b"\0"], [make()])
    except OSError as error:
        to.send((error.errno or errno.EIO).to_bytes(4, "little"))
    except HostError:
        to.send(errno.EPERM.to_bytes(4, "little"))
    finally:
        os._exit(0)
