"""A pull of one large layer that ends at its half: what of it has to move again."""

from __future__ import annotations

import contextlib
import os
import pty
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from lamina.store import gc, packages
from lamina.store.local import LocalStore
from tests import faults, servers
from tests.reliability import made

WAYS = ("the connection is cut", "the process is killed")


@dataclass(frozen=True, slots=True)
class Ended:
    """What it came to."""

    again: int  # bytes that were sent more than once
    shown: str  # on the terminal of who waited for the one that was killed
    wrong: str


def interrupt(folder: Path, size: int, way: str) -> Ended:
    """Pull a layer of so many bytes; at its half, what `way` says happens."""
    folder.mkdir(parents=True, exist_ok=True)
    source = LocalStore(folder / "source")
    try:
        with (
            servers.registry(folder / "registry") as registry,
            faults.proxy(registry.host) as between,
        ):
            digest = made.push(source, f"{registry.host}/p", "v1", [size], 1)
            layer = packages.read(digest, source).layers[0].blob
            place, node = f"{between.host}/p:v1", folder / "node"
            if way == WAYS[0]:
                between.spoil(faults.cut(size // 2), method="GET", path=layer.hash)
                (code, told), shown = made.run(node, "pull", place), ""
            else:
                between.spoil(faults.stall(between, size // 2), method="GET", path=layer.hash)
                code, told, shown = _kill(node, place, node / "partial" / layer.hash, size)
            again = sum(each.sent for each in between.of("GET", layer.hash)) - size
        store = LocalStore(node)
        wrong = told if code else "" if packages.is_whole(digest, store) else "it is not whole"
        wrong = wrong or "".join(gc.verify(store).wrong)
        store.close()
        return Ended(again, shown, wrong)
    finally:
        source.close()


def _kill(node: Path, place: str, part: Path, size: int) -> tuple[int, str, str]:
    """Kill a pull that has got half, while another one waits at a terminal; how that ends."""
    first = made.start(node, "pull", place)
    until = time.monotonic() + 120
    while not (part.exists() and part.stat().st_size >= size // 2 - (1 << 20)):
        assert time.monotonic() < until, "half of it does not come"
        time.sleep(0.02)
    ours, theirs = pty.openpty()
    shown: list[bytes] = []

    def read() -> None:
        with contextlib.suppress(OSError):  # the other end is closed
            while piece := os.read(ours, 1 << 16):
                shown.append(piece)

    reader = threading.Thread(target=read)
    reader.start()
    second = made.start(node, "pull", place, stderr=theirs)
    os.close(theirs)
    half = f"{size // 2 / (1 << 20):.1f} MiB of".encode()
    while half not in b"".join(shown) and second.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    waiting = b"".join(shown).decode(errors="replace")
    first.kill()
    first.communicate()
    out, _ = second.communicate(timeout=240)
    reader.join()
    os.close(ours)
    return second.returncode, out + b"".join(shown).decode(errors="replace"), waiting
