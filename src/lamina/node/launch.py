"""Start a package's program in the place of this process, on mounts that nobody else sees."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from lamina.core.errors import LaminaError, UserError
from lamina.core.manifest import Package
from lamina.linux import drivers, namespaces
from lamina.linux.environment import inherited, reset_signals
from lamina.node import based, mounts


def choose(driver: str | None) -> str:
    """The mount driver asked for, or the best that this machine allows."""
    return drivers.choose(driver).driver


def launch(
    package: Package,
    images: Sequence[Path],
    args: Sequence[str],
    *,
    driver: str | None = None,
    writable: mounts.Upper | None = None,
    environment: Mapping[str, str] | None = None,
    mounted: Callable[[], None] | None = None,
    ready: Callable[[], None] | None = None,
) -> NoReturn:
    """Become the package's program, which finds its files at `/packages/<title>`.

    `images` are the layers' files, bottom first; by the driver `copy` it finds its files in the
    store. `writable` is where that goes which it writes to them: else it may not. `environment` is
    the whole environment of the program, by default that of this process; the package's own
    variables are added to it.
    `mounted` is called when the layers are one tree, `ready` just before the program starts. The
    process must have one thread only. No part of it but an error comes back: then it is in
    namespaces of its own, has no mount left, and should say the error and end.
    """
    entry_point = _entry_point(package)
    name = choose(driver)
    mounts.check_count(images)
    if package.base_layers:
        based.check(package, name)
    if name == drivers.COPY:
        from lamina.node import copied

        root = str(copied.root(images, writable))
        if mounted is not None:
            mounted()
    else:
        root = f"/packages/{package.title}"
        _mount(mounts.driver(name), package, images, writable, mounted)
    if ready is not None:
        ready()
    argv = [f"{root}/{entry_point[0]}", *entry_point[1:], *args]
    outer = inherited() if environment is None else environment
    _become(argv, variables(package, root, outer))


def _mount(
    chosen: mounts.Driver,
    package: Package,
    images: Sequence[Path],
    writable: mounts.Upper | None,
    mounted: Callable[[], None] | None,
) -> None:
    uid, gid = os.geteuid(), os.getegid()
    chosen.enter(writable=writable is not None)
    if package.base_layers:
        based.enter(chosen, package, images, writable, mounted)
    else:
        with_root(chosen, package.title, images, writable, mounted)
    if os.geteuid() != uid:
        namespaces.be_again(uid, gid)


def with_root(
    chosen: mounts.Driver,
    title: str,
    images: Sequence[Path],
    writable: mounts.Upper | None = None,
    mounted: Callable[[], None] | None = None,
) -> None:
    """Stack the images and enter a root that shows them at `/packages/<title>`."""
    mount = chosen.stack([image.absolute() for image in images], writable)
    if mounted is not None:
        mounted()
    try:
        namespaces.enter_root({title: mount}, own_tmp=writable is not None)
    except OSError as error:
        raise mounts.refused(f"the root of `{title}`", error) from error


def _entry_point(package: Package) -> tuple[str, ...]:
    if not package.entry_point:
        raise UserError(
            f"`{package.label}` has no entry point, so there is nothing to run",
            hint="run a binary target, or look at its files with `lamina mount`",
        )
    return package.entry_point


def variables(package: Package, root: str, outer: Mapping[str, str]) -> dict[str, str]:
    """The environment of the package's program."""
    own = {"LAMINA_PACKAGE": root, "LAMINA_VERSION": package.version}
    image = dict(word.partition("=")[::2] for word in package.image.environment)
    return {**outer, **image, **dict(package.environment), **own}


def _become(argv: list[str], environment: dict[str, str]) -> NoReturn:
    reset_signals()
    try:
        os.execve(argv[0], argv, environment)
    except PermissionError as error:
        raise LaminaError(
            f"can not run `{argv[0]}`: permission denied", hint="its execute bit is not set"
        ) from error
    except FileNotFoundError as error:
        raise LaminaError(f"can not run `{argv[0]}`: {_missing(argv[0])}") from error
    except OSError as error:
        raise LaminaError(f"can not run `{argv[0]}`: {error.strerror}") from error


def _missing(program: str) -> str:
    if Path(program).exists():
        return "the interpreter in its first line, or its loader, is not on this machine"
    return "the package has no such file"
