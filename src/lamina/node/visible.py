"""Mounts for a person who wants to look: in the caller's own namespace, until `lamina umount`."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from lamina.core.errors import HostError, UserError
from lamina.core.manifest import Package
from lamina.linux import drivers, filesystem, fuse, mountinfo, process, rights, syscalls
from lamina.node import based, merge, mounts, records, state
from lamina.node.records import Mounted
from lamina.store import local


def mounted() -> list[Mounted]:
    """The mounts of this user that `umount` can end, by mount point."""
    return records.every()


def mount(
    package: Package,
    images: Sequence[Path],
    at: Path | None,
    *,
    driver: str | None = None,
    upper: mounts.Upper | None = None,
) -> Path:
    """Mount a package's images, bottom first; the mount point.

    `at` is an empty or absent folder; without it lamina has its own place. Mounting what is
    mounted there already changes nothing; what a crash left half-way is undone first. By the
    driver `copy`, it is a symlink. With an upper, it can be written to.
    """
    mounts.check_count(images)
    where = Path(os.path.abspath(at)) if at else Path(state.folder(), "mounts") / package.title  # noqa: PTH100
    paths = tuple(image.absolute() for image in images)
    driver = drivers.choose_to_stay(driver).driver
    if package.base_layers:
        if driver not in _BY_MOUNTS:
            raise HostError(
                f"`{package.name}` has a base image, which only root can mount for all to see",
                hint="`lamina run` and `lamina exec` start its program for any user",
            )
        based.check(package, driver)
    _check(driver, upper)
    # Merging may take seconds, in which other mounts should not have to wait.
    made = None
    if driver == drivers.FUSE:
        made = merge.merged(paths, local.default_folder())
    elif driver == drivers.COPY:
        from lamina.node import copied

        made = copied.joined(paths, local.default_folder())
    with _alone():
        if not _ready(where, paths):
            plan = Mounted(package.title, where, paths, driver, made=not where.exists())
            _make(plan, made, package.base_layers, upper)
    return where


_BY_MOUNTS = (drivers.KERNEL, drivers.BTRFS)


def _check(driver: str, upper: mounts.Upper | None) -> None:
    """HostError for what this driver or user can not do in the machine's own namespace."""
    if driver in _BY_MOUNTS and not rights.may_mount():
        raise HostError(
            f"only root can mount by the driver `{driver}` for all to see",
            hint="`lamina mount` without `--driver` takes one that you can use",
        )
    if upper is None:
        return
    if driver not in _BY_MOUNTS:
        raise HostError(
            f"by the driver `{driver}`, what is mounted for all to see is read-only",
            hint="`lamina run` and `lamina exec` have `--writable` for any user",
        )
    if driver == drivers.BTRFS and upper.folder is None:
        raise HostError(
            "a snapshot that can be written to needs a folder where it stays",
            hint="`--writable FOLDER`, with one on the file system of the store",
        )


def _ready(where: Path, images: tuple[Path, ...]) -> bool:
    """Whether these images are mounted there; the rest of a broken mount is undone."""
    for old in records.every():
        if old.where != where:
            continue
        if _answers(where) and (where.is_symlink() or where in mountinfo.mount_points()):
            if old.images == images:
                return True
            raise UserError(
                f"`{old.title}` is mounted at `{where}`", hint=f"`lamina umount {where}`"
            )
        _undo(old)
    return False


def _answers(where: Path) -> bool:
    try:
        os.statvfs(where)
    except OSError:
        return False
    return True


def _make(plan: Mounted, made: Path | None, base: int, upper: mounts.Upper | None) -> None:
    """Mount as planned: what was made before by FUSE or as it is, else the plan's by the kernel."""
    plan.where.mkdir(parents=True, exist_ok=True)
    if plan.where in mountinfo.mount_points() or any(plan.where.iterdir()):
        raise UserError(f"`{plan.where}` is not empty", hint="choose an empty or absent folder")
    records.write(plan)
    try:
        if made is None:
            _by_kernel(plan, base, upper)
        elif plan.driver == drivers.COPY:
            plan.where.rmdir()
            plan.where.symlink_to(made)
        else:
            _by_fuse(plan.where, made)
    except BaseException:
        for record in records.every():
            if record.where == plan.where:
                _undo(record)
        raise


def _by_kernel(plan: Mounted, base: int, upper: mounts.Upper | None) -> None:
    """Mount the layers; those of a base image below the others, which lie in `packages` there."""
    driver = mounts.driver(plan.driver)
    with contextlib.ExitStack() as held:
        places = {plan.where: driver.stack(plan.images, upper)} if not base else {}
        if base:
            root, top = based.stacked(driver, plan.title, plan.images, base, upper)
            places = {plan.where: root, plan.where / "packages" / plan.title: top}
        for descriptor in places.values():
            held.callback(os.close, descriptor)
        for place, descriptor in places.items():
            try:
                syscalls.move_mount(descriptor, str(place))
            except OSError as error:
                raise mounts.refused(f"`{place}`", error) from error


def _by_fuse(where: Path, image: Path) -> None:
    """Mount and start the server, which is ready when this returns, and stays."""
    offset = f"offset={mounts.offset(image)}"
    argv = [str(process.require("squashfuse_ll")), "-f", "-o", offset, str(image)]
    device = fuse.mount(where, str(image), "squashfuse")
    try:
        server = process.spawn(
            [*argv, f"/dev/fd/{device}"], stdout=_NULL, stderr=_NULL, pass_fds=[device]
        )
    finally:
        os.close(device)
    if not _answers(where):
        raise HostError(
            f"`{argv[0]}` can not serve `{image}`", hint=f"see: `{' '.join(argv)} FOLDER`"
        )
    server.returncode = 0  # it stays; Popen need not wait for it


_NULL = -3  # subprocess.DEVNULL


def umount(where: Path | str) -> None:
    """End a mount by its mount point or by the package's title; UserError if there is none.

    HostError if a process still uses it; then all stays as it was.
    """
    path = Path(os.path.abspath(where))  # noqa: PTH100 - `resolve` would ask a dead server
    with _alone():
        for record in records.every():
            if record.where == path or record.title == str(where):
                _undo(record)
                return
    raise UserError(
        f"nothing of lamina's is mounted at `{where}`", hint="`lamina mount` lists what is"
    )


def _undo(record: Mounted) -> None:
    """Undo a mount from whatever point it had reached."""
    points = mountinfo.mount_points()
    inner = record.where / "packages" / record.title  # where it has a base image
    if inner in points:
        _take_down(inner, record.driver)
    if record.driver == drivers.COPY and record.where.is_symlink():
        record.where.unlink()
        if not record.made:
            record.where.mkdir()
    if record.where in points:
        _take_down(record.where, record.driver)
    if record.made:
        with contextlib.suppress(OSError):
            record.where.rmdir()
    records.remove(record)


def _take_down(place: Path, driver: str) -> None:
    try:
        if driver in _BY_MOUNTS:
            syscalls.umount(str(place))
        else:
            fuse.unmount(place)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise HostError(f"can not unmount `{place}`: {error.strerror}") from error
        raise HostError(
            f"can not unmount `{place}`: a process still uses it",
            hint=f"see which: `fuser -vm {place}`",
        ) from error


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One mount or umount of this user at a time."""
    with filesystem.locked(Path(state.folder(), "lock")):
        yield
