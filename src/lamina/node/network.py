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
    helper = process.find("pasta") or process.find("slirp4netns")
    if helper is None:
        raise HostError("`--network private` needs `pasta` or `slirp4netns`", hint=_HINT)
    descriptor = _namespace()
    try:
        with _served(helper, descriptor):
            yield descriptor
    finally:
        os.close(descriptor)


def _namespace() -> int:
    """A new network namespace: made by a child, which is gone, kept by the descriptor."""
    made, tell = os.pipe()
    go, let_go = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(OSError):
            syscalls.unshare(syscalls.CLONE_NEWNET)
            os.write(tell, b"\0")
            os.close(let_go)
            os.read(go, 1)
        os._exit(0)
    os.close(tell)
    os.close(go)
    try:
        if not os.read(made, 1):
            raise HostError("may not make a network namespace")
        return os.open(f"/proc/{child}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(made)
        os.close(let_go)
        os.waitpid(child, 0)


@contextlib.contextmanager
def _served(helper: Path, namespace: int) -> Iterator[None]:
    path = f"/proc/{os.getpid()}/fd/{namespace}"
    ready, tell = os.pipe()
    if helper.name == "pasta":
        words = ["--config-net", "--foreground", "--quiet", "--netns", path]
    else:
        words = [
            "--configure", "--mtu=65520", "--disable-host-loopback", "--enable-sandbox",
            f"--ready-fd={tell}", "--netns-type=path", path, "tap0",
        ]  # fmt: skip
    parent = os.getpid()

    def bind() -> None:
        syscalls.die_with_parent(signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    server = subprocess.Popen(
        [str(helper), *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=[tell],
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
