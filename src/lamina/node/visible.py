"""Mounts for a person who wants to look: in the caller's own namespace, until `lamina umount`."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from lamina.core.errors import HostError, UserError
from lamina.core.manifest import Package
from lamina.linux import drivers, filesystem, fuse, mountinfo, process, syscalls, watch
from lamina.node import mounts, records
from lamina.node.records import Mounted

_SECONDS_TO_END = 10.0  # for a FUSE server whose mount is gone


def mounted() -> list[Mounted]:
    """The mounts of this user that `umount` can end, by mount point."""
    return records.every()


def mount(package: Package, images: Sequence[Path], at: Path | None) -> Path:
    """Mount a package's images, bottom first; the mount point.

    `at` is an empty or absent folder; without it lamina has its own place. Mounting what is
    mounted there already changes nothing; what a crash left half-way is undone first.
    """
    mounts.check_count(images)
    where = Path(os.path.abspath(at)) if at else records.state() / "mounts" / package.title  # noqa: PTH100
    paths = tuple(image.absolute() for image in images)
    with _alone():
        if not _ready(where, paths):
            _make(_plan(package.title, where, paths))
    return where


def _plan(title: str, where: Path, images: tuple[Path, ...]) -> Mounted:
    driver = drivers.choose().driver
    made = not where.exists()
    if driver == drivers.KERNEL:
        return Mounted(title, where, images, driver, made=made)
    folder = records.state() / "layers" / f"{title}-{os.getpid()}"
    layers = tuple(folder / str(number) for number in range(len(images)))
    return Mounted(title, where, images, driver, layers if len(images) > 1 else (), made=made)


def _ready(where: Path, images: tuple[Path, ...]) -> bool:
    """Whether these images are mounted there; the rest of a broken mount is undone."""
    for old in records.every():
        if old.where != where:
            continue
        if _answers(where) and where in mountinfo.mount_points():
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


def _make(plan: Mounted) -> None:
    plan.where.mkdir(parents=True, exist_ok=True)
    if plan.where in mountinfo.mount_points() or any(plan.where.iterdir()):
        raise UserError(f"`{plan.where}` is not empty", hint="choose an empty or absent folder")
    records.write(plan)
    try:
        if plan.driver == drivers.KERNEL:
            _by_kernel(plan)
        else:
            _by_fuse(plan)
    except BaseException:
        for record in records.every():
            if record.where == plan.where:
                _undo(record)
        raise


def _by_kernel(plan: Mounted) -> None:
    stack = mounts.driver(plan.driver).stack(plan.images)
    try:
        syscalls.move_mount(stack, str(plan.where))
    except OSError as error:
        raise mounts.refused(f"`{plan.where}`", error) from error
    finally:
        os.close(stack)


def _by_fuse(plan: Mounted) -> None:
    """One squashfuse_ll per layer, fuse-overlayfs over them; each server noted as it starts."""
    places = plan.layers or (plan.where,)
    for place, image in zip(places, plan.images, strict=True):
        offset = f"offset={mounts.offset(image)}"
        argv = [str(process.require("squashfuse_ll")), "-f", "-o", offset, str(image)]
        plan = _serve(plan, place, argv, image.name, "squashfuse")
    if plan.layers:
        lowers = ":".join(_escaped(place) for place in reversed(places))
        argv = [str(process.require("fuse-overlayfs")), "-f", "-o", f"lowerdir={lowers}"]
        _serve(plan, plan.where, argv, plan.title, "fuse-overlayfs")


def _escaped(folder: Path) -> str:
    return str(folder).replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")


def _serve(plan: Mounted, place: Path, argv: list[str], source: str, kind: str) -> Mounted:
    """Mount at a place and start its server there, ready when this returns."""
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    device = fuse.mount(place, source, kind)
    try:
        argv = [*argv, f"/dev/fd/{device}"]
        server = process.spawn(argv, stdout=_NULL, stderr=_NULL, pass_fds=[device])
    finally:
        os.close(device)
    ticks = watch.started(server.pid)
    if ticks is not None:
        plan = dataclasses.replace(plan, servers=(*plan.servers, (ticks.pid, ticks.ticks)))
        records.write(plan)
    if not _answers(place):
        raise HostError(
            f"`{argv[0]}` can not serve `{source}`", hint=f"see: `{' '.join(argv[:-1])} FOLDER`"
        )
    server.returncode = 0  # it stays; Popen need not wait for it
    return plan


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
    raise UserError(f"nothing of lamina's is mounted at `{where}`", hint="see `lamina umount`")


def _undo(record: Mounted) -> None:
    """Undo a mount in reverse, from whatever point it had reached."""
    present = mountinfo.mount_points()
    for place in (record.where, *reversed(record.layers)):
        if place in present:
            _take_down(place, record.driver)
        if place == record.where:
            _await_the_top_server(record)
    for place in record.layers:
        with contextlib.suppress(FileNotFoundError):
            place.rmdir()
    if record.layers:
        with contextlib.suppress(FileNotFoundError):
            record.layers[0].parent.rmdir()
    if record.made:
        with contextlib.suppress(OSError):
            record.where.rmdir()
    records.remove(record)


def _take_down(place: Path, driver: str) -> None:
    try:
        if driver == drivers.KERNEL:
            syscalls.umount(str(place))
        else:
            fuse.unmount(place)
    except (OSError, HostError) as error:
        if isinstance(error, OSError) and error.errno != errno.EBUSY:
            raise HostError(f"can not unmount `{place}`: {error.strerror}") from error
        raise HostError(
            f"can not unmount `{place}`: a process still uses it",
            hint=f"see which: `fuser -vm {place}`",
        ) from error


def _await_the_top_server(record: Mounted) -> None:
    """fuse-overlayfs holds the layers until its end, which comes just after its mount's."""
    if record.layers and len(record.servers) > len(record.layers):
        watch.wait_for_end(watch.Started(*record.servers[-1]), _SECONDS_TO_END)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One mount or umount of this user at a time."""
    with filesystem.locked(records.state() / "lock"):
        yield
