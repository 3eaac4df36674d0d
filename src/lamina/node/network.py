"""A network of the container's own that reaches the world by way of a program: `--network private`.

pasta or slirp4netns moves packets between a network namespace and ordinary sockets of its own; it
needs no rights, and no bridge or firewall rule of the machine. It ends with the block,
or with lamina.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from lamina.core.errors import HostError
from lamina.linux import process, syscalls

_HINT = "on Debian or Ubuntu: `apt-get install passt` or `slirp4netns`; or `--network none`"


@contextlib.contextmanager
def private() -> Iterator[int]:
    """A descriptor of a new network namespace that has a way out."""
    helper = process.find("slirp4netns") or process.find("pasta")
    if helper is None:
        raise HostError("`--network private` needs `slirp4netns` or `pasta`", hint=_HINT)
    with contextlib.ExitStack() as held:
        network, user = _namespaces()
        held.callback(os.close, network)
        held.callback(os.close, user)
        held.enter_context(_served(helper, network, user))
        yield network


def _namespaces() -> tuple[int, int]:
    """A new network namespace, and the user namespace that it belongs to.

    They are made by a child, which is gone, and kept by the descriptors. An ordinary user is root
    in that user namespace, as such helpers want to be; the container is not in it.
    """
    made, tell = os.pipe()
    go, let_go = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(OSError):
            _make()
            os.write(tell, b"\0")
            os.close(let_go)
            os.read(go, 1)
        os._exit(0)
    os.close(tell)
    os.close(go)
    try:
        if not os.read(made, 1):
            raise HostError("may not make a network namespace")
        flags = os.O_RDONLY | os.O_CLOEXEC
        return os.open(f"/proc/{child}/ns/net", flags), os.open(f"/proc/{child}/ns/user", flags)
    finally:
        os.close(made)
        os.close(let_go)
        os.waitpid(child, 0)


def _make() -> None:
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        syscalls.unshare(syscalls.CLONE_NEWNET)
        return
    syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNET)
    for file, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        Path("/proc/self", file).write_text(text)


@contextlib.contextmanager
def _served(helper: Path, network: int, user: int) -> Iterator[None]:
    ready, tell = os.pipe()
    parent = os.getpid()

    def bind() -> None:
        syscalls.die_with_parent(signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    server = subprocess.Popen(
        [str(helper), *_words(helper.name, network, user, tell)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=[tell, network, user],
        preexec_fn=bind,
        process_group=0,
    )
    os.close(tell)
    try:
        if helper.name != "pasta" and not os.read(ready, 1):
            complaint = server.communicate()[1].decode(errors="replace").strip()
            raise HostError(f"`{helper.name}` can not serve the network: {complaint}", hint=_HINT)
        yield
    finally:
        os.close(ready)
        server.kill()
        server.wait()


def _words(helper: str, network: int, user: int, tell: int) -> list[str]:
    own = f"/proc/self/fd/{user}" if os.geteuid() else ""
    path = f"/proc/self/fd/{network}"
    if helper == "pasta":
        users = ["--userns", own] if own else []
        return ["--config-net", "--foreground", "--quiet", *users, "--netns", path]
    users = [f"--userns-path={own}"] if own else []
    sandbox = [] if own else ["--enable-sandbox"]  # in which it wants to be the machine's root
    return [
        "--configure", "--mtu=65520", "--disable-host-loopback", *sandbox,
        f"--ready-fd={tell}", *users, "--netns-type=path", path, "tap0",
    ]  # fmt: skip
