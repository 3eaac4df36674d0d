"""Sends one file to who asks, over the links of a cluster: `python -m bench.cluster.sender`."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType

from tests.cluster.slurm import Slurm

_ROOT = Path(__file__).parents[2]


class Sender:
    """A process beside the controller that sends a file to whoever connects."""

    def __init__(self, cluster: Slurm, file: Path, address: str) -> None:
        words = [sys.executable, "-m", "bench.cluster.sender", address, str(file)]
        self._process = subprocess.Popen(
            cluster.words(*words), cwd=_ROOT, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
        )

    def __enter__(self) -> int:
        """The port."""
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()


def main(address: str, path: str) -> None:
    """Send the file for ever; the kernel copies it to the sockets."""
    with socket.create_server((address, 0), backlog=64) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            other, _ = server.accept()
            threading.Thread(target=_send, args=(other, path), daemon=True).start()


def _send(other: socket.socket, path: str) -> None:
    with other, Path(path).open("rb") as file:
        other.sendfile(file)


if __name__ == "__main__":
    main(*sys.argv[1:])
