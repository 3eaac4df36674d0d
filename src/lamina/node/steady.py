"""What has a say in how a container is made: as long as it holds, others are made like it."""

from __future__ import annotations

import os
from collections.abc import Iterator

from lamina.formats import runtimespec, seccomp
from lamina.node import order, rootfs, runtimes
from lamina.node.walls import Walls
from lamina.store import starts

_OWN_GROUPS = "/proc/self/cgroup"


def reasons(told: Walls) -> Iterator[tuple[str, str]]:
    """Facts by kind, and what they are of, as `starts.fact` takes them."""
    yield from ((starts.VARIABLE, name) for name in ("HOME", "XDG_RUNTIME_DIR", *order.KEPT))
    yield starts.GROUP, ""
    yield starts.LINK, os.fspath(rootfs.NAMES)
    yield starts.TEXT, os.fspath(runtimes.BOOT)  # what works is tried once in each run of a kernel
    yield starts.TEXT, _OWN_GROUPS
    # A runtime that would be preferred, and the first init that is there.
    yield from ((starts.FILE, f"/usr/bin/{name}") for name in (runtimes.CRUN, *runtimes.INITS))
    yield starts.FILE, told.command[0]
    # Another version of lamina may tell a runtime something else.
    yield from ((starts.FILE, str(module.__file__)) for module in (runtimespec, seccomp, order))
    for _, folder in told.by:
        yield starts.FOLDER_ITSELF, os.path.dirname(folder)  # noqa: PTH120
    for target, _ in told.places:
        yield starts.THERE, "/" + target.split("/")[1]
