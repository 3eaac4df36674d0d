"""Tries whether a runtime of containers works here, with a container of `true`."""

from __future__ import annotations

import os
from pathlib import Path

from lamina.core.container import NONE, Container
from lamina.core.errors import HostError
from lamina.core.places import ROOT
from lamina.linux import cgroups, namespaces
from lamina.linux.group import Group
from lamina.node import cell, order, rootfs, runtimes, starting, supervise
from lamina.node.runtimes import Runtime
from lamina.node.starting import Ready


def attempt(runtime: Runtime) -> str:
    """Try a runtime with a container of `true`; what went wrong, or nothing.

    In a forked child, so that its namespaces end with it.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _attempt_and_tell(runtime, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        words = file.read().decode(errors="replace").strip()
    os.waitpid(child, 0)
    return words


def _attempt_and_tell(runtime: Runtime, writer: int) -> None:
    words = "the attempt crashed"
    try:
        null = os.open("/dev/null", os.O_RDWR)
        for standard in range(3):
            os.dup2(null, standard)
        words = _attempt(runtime)
    except HostError as error:
        words = error.message
    except OSError as error:
        words = f"{error.filename or ''} {error.strerror}"
    finally:
        os.write(writer, words.encode())
        os._exit(0)


def _attempt(runtime: Runtime) -> str:
    who, id_ = order.identity(runtime.name), os.urandom(6).hex()
    tried = Container(
        ("/bin/true",), (("PATH", order.PATH),), user=order.user_of(order.Order(), who),
        hostname="x", network=NONE, tmpfs=rootfs.covered(),
    )  # fmt: skip
    layout = cgroups.layout()
    with cell.opened(id_, (), Group) as (bundle, group):
        if who.rootless:
            namespaces.own_user()
        namespaces.own_mounts()
        root = Path(bundle, ROOT)
        rootfs.attach_host(root, {}, tried)
        around = order.surroundings(str(root), who, layout, tried)
        pid, _ = starting.start(Ready(id_, Path(bundle), runtime, tried, around, group, layout))
        code = supervise.wait(pid, 0, lambda _: None)
        return runtimes.log_of(Path(bundle)) or (f"exit code {code}" if code else "")
