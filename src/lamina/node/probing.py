"""Tries whether a runtime of containers works here, with a container of `true`."""

from __future__ import annotations

import os

from lamina.core.container import NONE, Container
from lamina.core.errors import HostError
from lamina.linux import cgroups, namespaces
from lamina.linux.cgroups import Group
from lamina.node import contain, rootfs, running, runtimes, supervise
from lamina.node.janitor import Janitor
from lamina.node.runtimes import Runtime


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
        null, said = os.open("/dev/null", os.O_RDWR), os.memfd_create("lamina-said")
        for standard, descriptor in enumerate((null, null, said)):
            os.dup2(descriptor, standard)
        words = _attempt(runtime)
    except HostError as error:
        words = error.message
    except OSError as error:
        words = f"{error.filename or ''} {error.strerror}"
    finally:
        os.write(writer, words.encode())
        os._exit(0)


def _attempt(runtime: Runtime) -> str:
    who, id_ = contain.identity(runtime.name), os.urandom(6).hex()
    bundle = running.shelf() / id_
    tried = Container(
        ("/bin/true",), (("PATH", contain.PATH),), user=contain.user_of(contain.Order(), who),
        hostname="x", network=NONE, tmpfs=rootfs.covered(),
    )  # fmt: skip
    layout = cgroups.layout()
    janitor = Janitor(bundle, ())
    lock = -1
    try:
        lock = running.claim(bundle)
        (bundle / "rootfs").mkdir()
        if who.rootless:
            namespaces.own_user()
        namespaces.own_mounts()
        rootfs.attach_host(bundle / "rootfs", {}, tried)
        around = contain.surroundings(str(bundle / "rootfs"), who, layout, tried)
        pid = contain.start(runtime, tried, around, bundle, id_, Group(), None, layout)
        code = supervise.wait(pid, 0, lambda _: None)
        said = _last_line() or f"exit code {code}"
        return runtimes.log_of(bundle) or (said if code else "")
    finally:
        janitor.end()
        if lock >= 0:
            os.close(lock)


def _last_line() -> str:
    """What the runtime has said last on standard error."""
    text = os.pread(2, 4096, 0).decode(errors="replace").strip()
    return text.splitlines()[-1] if text else ""
