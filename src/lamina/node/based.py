"""Packages with a base image: its layers are the root file system, the package lies in it.

    /                             the layers of the base image, as overlayfs stacks them
    /packages/<title>             the package root
    /proc, /sys, /dev, /tmp       those of the machine; an empty one

Both are read-only. The places that are mounted on come from one more layer on top of the image's,
so an image need not have them.

An ordinary user sees the same: overlayfs in a user namespace knows whiteouts, and opaque folders by
an attribute that layers have beside that of root. There the user stays who it is, and nobody else
is known: all files belong to nobody, and what only their owner may read stays closed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from lamina.core.errors import HostError
from lamina.core.manifest import Package
from lamina.linux import drivers, namespaces
from lamina.node import mounts
from lamina.node.stack import stack

_PROCESSORS = {"x86_64": "amd64", "aarch64": "arm64"}


def check(package: Package, driver: str) -> None:
    """Raise HostError where a package with a base image cannot be mounted here, by a driver."""
    if driver == drivers.COPY:
        raise HostError(
            f"`{package.name}` has a base image, which can only be mounted",
            hint="`lamina doctor` shows what it takes to mount here",
        )
    machine = _PROCESSORS.get(os.uname().machine, os.uname().machine)
    if package.image.architecture not in ("", machine):
        raise HostError(
            f"the base image of `{package.name}` is for `{package.image.architecture}`,"
            f" this machine is `{machine}`"
        )


def stacked(
    driver: mounts.Driver,
    title: str,
    images: Sequence[Path],
    base: int,
    upper: mounts.Upper | None = None,
) -> tuple[int, int]:
    """Detached mounts of the root, of the lowest `base` images, and of the package."""
    from lamina.node import jobs

    with contextlib.ExitStack() as held:
        top = driver.stack(images[base:], upper)
        held.callback(os.close, top)
        below = driver.stack(images[:base])
        held.callback(os.close, below)
        places = namespaces.skeleton(title)
        held.callback(os.close, places)
        try:
            root = stack([below, places], jobs.of_root(upper), user=driver.is_user)
        except OSError as error:
            raise mounts.refused("the base image", error) from error
        return root, os.dup(top)


def enter(
    driver: mounts.Driver,
    package: Package,
    images: Sequence[Path],
    upper: mounts.Upper | None = None,
    mounted: Callable[[], None] | None = None,
) -> None:
    """Make the base image the root of this process; it starts where the image says.

    `mounted` is called when all layers are mounted.
    """
    paths = [image.absolute() for image in images]
    root, top = stacked(driver, package.title, paths, package.base_layers, upper)
    if mounted is not None:
        mounted()
    try:
        namespaces.enter_other_root(root, package.title, top, writable=upper is not None)
    except OSError as error:
        raise mounts.refused(f"the root of `{package.title}`", error) from error
    finally:
        os.close(root)
        os.close(top)
    with contextlib.suppress(OSError):
        os.chdir(package.image.folder or "/")
