"""Namespaces of the calling process, and the root that a package's program sees."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Collection, Iterator, Mapping

from lamina.core.errors import HostError
from lamina.linux import syscalls

USER_HINT = (
    "allow them: `sysctl kernel.unprivileged_userns_clone=1` (Debian), "
    "`sysctl kernel.apparmor_restrict_unprivileged_userns=0` (Ubuntu), "
    "`sysctl user.max_user_namespaces=15000`; or run as root"
)


def own_mounts() -> None:
    """Give this process a mount namespace of its own; no mount travels in or out of it."""
    try:
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    except PermissionError as error:
        raise HostError("may not make a mount namespace", hint=USER_HINT) from error


def own_user(*, as_root: bool = False) -> None:
    """Give this process a user namespace in which it stays who it is.

    It gains capabilities over mounts it makes there; an exec as an ordinary user drops them. In one
    `as_root` it is root, so that files of root in what it mounts are its own; `be_again` ends that.
    """
    uid, gid = os.geteuid(), os.getegid()
    _become(*((0, 0) if as_root else (uid, gid)))


def be_again(uid: int, gid: int) -> None:
    """Be an ordinary user again, in a namespace within: what was root's is this user's there."""
    _become(uid, gid)


def _become(inside: int, group: int) -> None:
    uid, gid = os.geteuid(), os.getegid()
    try:
        syscalls.unshare(syscalls.CLONE_NEWUSER)
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{inside} {uid} 1")
        _write("/proc/self/gid_map", f"{group} {gid} 1")
    except OSError as error:
        raise _no_user_namespace(error) from error


def _no_user_namespace(error: OSError) -> HostError:
    if error.errno == errno.EINVAL:
        return HostError(
            "a process with several threads can not enter a user namespace",
            hint="this is lamina's own fault: end all threads before a package is started",
        )
    return HostError(
        f"this machine does not let an ordinary user make a user namespace: {error.strerror}",
        hint=USER_HINT,
    )


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def detached(kind: str, options: Mapping[str, str], attributes: int) -> int:
    """A detached mount of a new file system; an empty option value sets a flag."""
    context = syscalls.fsopen(kind)
    try:
        for key, value in options.items():
            if value:
                syscalls.fsconfig_string(context, key, value)
            else:
                syscalls.fsconfig_flag(context, key)
        syscalls.fsconfig_create(context)
        return syscalls.fsmount(context, attributes)
    finally:
        os.close(context)


def enter_root(mounts: Mapping[str, int], *, own_tmp: bool = False) -> None:
    """Exchange the root of this process for a read-only one.

    It shows every entry of the present root, and the detached `mounts` by their names below
    `/packages`. An own `/tmp` is empty; where the working folder lies in `/tmp`, that stays as it
    is. The process must have a mount namespace of its own; its working folder stays. A top-level
    entry that it may not copy is left out.
    """
    folder = _working_folder()
    packages = {**_trees("/packages"), **mounts}
    root = detached("tmpfs", {"mode": "0755"}, syscalls.MOUNT_ATTR_NOSUID)
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, root)
        entries = _trees("/", skip="packages")
        if own_tmp and not f"{folder}/".startswith("/tmp/"):
            if isinstance(old := entries.get("tmp"), int):
                os.close(old)
            entries["tmp"] = detached("tmpfs", {"mode": "1777"}, syscalls.MOUNT_ATTR_NOSUID)
        syscalls.move_mount(root, "/")
        _fill(root, entries)
        os.mkdir("packages", 0o755, dir_fd=root)
        shelf = os.open("packages", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root)
        stack.callback(os.close, shelf)
        _fill(shelf, packages)
        _pivot(root)
    _return_to(folder)


def show_root(
    at: str, mounts: Mapping[str, int], own: Collection[str], places: Mapping[str, bool]
) -> None:
    """Attach at a folder a read-only root such as `enter_root` enters, for others to enter.

    `own` are top-level folders that are left empty, for what is mounted there later; so are
    `places`, paths that this machine does not have at its top, with whether they are folders.
    No setuid program in it gives rights, and no device node opens.
    """
    packages = {**_trees("/packages"), **mounts}
    root = detached("tmpfs", {"mode": "0755"}, syscalls.MOUNT_ATTR_NOSUID)
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, root)
        entries = {
            name: tree for name, tree in _trees("/", skip="packages").items() if name not in own
        }
        syscalls.move_mount(root, at)
        for name in own:
            os.mkdir(name, 0o755, dir_fd=root)
        _fill(root, entries)
        os.mkdir("packages", 0o755, dir_fd=root)
        shelf = os.open("packages", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root)
        stack.callback(os.close, shelf)
        _fill(shelf, packages)
        with elsewhere(root):
            _make(places)
        syscalls.mount_setattr(root, syscalls.READ_ONLY, recursive=True)


def _make(places: Mapping[str, bool]) -> None:
    for path, is_folder in places.items():
        place = path.lstrip("/")
        folder = place if is_folder else place.rpartition("/")[0] or "."
        os.makedirs(folder, exist_ok=True)  # noqa: PTH103 - pathlib is dear
        if not is_folder:
            os.close(os.open(place, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC))


def skeleton(title: str) -> int:
    """A detached file system with the places that a root of others' has to have, and no more.

    Names are looked up as on this machine: by copies of its `resolv.conf` and `hosts`.
    """
    from pathlib import Path  # dear: most programs start without

    root = detached("tmpfs", {"mode": "0755"}, syscalls.MOUNT_ATTR_NOSUID)
    with elsewhere(root):
        for folder in (*_SHOWN, "tmp", "etc", f"packages/{title}"):
            Path(folder).mkdir(parents=True)
        for file in ("resolv.conf", "hosts"):
            with contextlib.suppress(OSError):  # this machine may do without
                Path("etc", file).write_bytes(Path("/etc", file).read_bytes())
    return root


_SHOWN = ("proc", "sys", "dev")  # of this machine, in a root of others


def enter_other_root(root: int, title: str, package: int, *, writable: bool = False) -> None:
    """Exchange the root of this process for another file system, made upon a `skeleton`.

    It shows what this machine's kernel shows of itself, an empty `/tmp`, and the detached mount of
    a package below `/packages`. The process must have a mount namespace of its own.
    """
    trees = {name: syscalls.open_tree(f"/{name}") for name in _SHOWN}
    trees["tmp"] = detached("tmpfs", {"mode": "1777"}, syscalls.MOUNT_ATTR_NOSUID)
    trees[f"packages/{title}"] = os.dup(package)
    syscalls.move_mount(root, "/")
    for name, tree in trees.items():
        syscalls.move_mount(tree, name, at=root)
        os.close(tree)
    _pivot(root, writable=writable)


def _trees(folder: str, skip: str = "") -> dict[str, int | str]:
    """Copies of a folder's entries: a detached mount, or the target of a symlink."""
    trees: dict[str, int | str] = {}
    for entry in _entries(folder):
        if entry.name == skip:
            continue
        if entry.is_symlink():
            trees[entry.name] = os.readlink(entry.path)  # noqa: PTH115
        else:
            with contextlib.suppress(PermissionError, FileNotFoundError):
                trees[entry.name] = syscalls.open_tree(entry.path)
    return trees


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except FileNotFoundError:
        return []


def _fill(folder: int, trees: Mapping[str, int | str]) -> None:
    """Make the entries in a folder of the new root, each mount on a place of its kind."""
    for name, tree in trees.items():
        if isinstance(tree, str):
            os.symlink(tree, name, dir_fd=folder)
            continue
        if stat.S_ISDIR(os.fstat(tree).st_mode):
            os.mkdir(name, 0o755, dir_fd=folder)
        else:
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, dir_fd=folder))
        syscalls.move_mount(tree, name, at=folder)
        os.close(tree)


def _pivot(root: int, *, writable: bool = False) -> None:
    """Make a filled tmpfs, attached over the old root, the root, and let go of the old one.

    The old root is detached as a whole: that ends this namespace's view of it, the file systems
    live on where they came from.
    """
    syscalls.mount_setattr(root, syscalls.WRITABLE if writable else syscalls.READ_ONLY)
    os.fchdir(root)
    syscalls.pivot_root(".", ".")
    syscalls.umount(".", syscalls.MNT_DETACH)
    os.chdir("/")


def _working_folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        return "/"


def _return_to(folder: str) -> None:
    try:
        os.chdir(folder)
    except OSError:
        os.chdir("/")


@contextlib.contextmanager
def elsewhere(descriptor: int) -> Iterator[None]:
    """Work inside the folder behind a descriptor, then return."""
    here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fchdir(descriptor)
        yield
    finally:
        os.fchdir(here)
        os.close(here)
