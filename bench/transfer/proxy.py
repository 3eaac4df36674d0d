"""A proxy in front of a registry that counts requests, bytes and round trips, and knows no more."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from subprocess import DEVNULL, Popen

_PIECE = 1 << 16


@dataclass(slots=True)
class Count:
    """What has passed since `reset`."""

    requests: int = 0
    sent: int = 0  # bytes to the registry, with headers
    received: int = 0  # bytes from it, with headers
    spans: list[tuple[float, float]] = field(default_factory=list)  # of each request

    @property
    def trips(self) -> int:
        """How many requests had to wait for another one: the longest chain of them."""
        chain: list[tuple[float, int]] = []  # end, and length of the chain up to there
        for begin, end in sorted(self.spans):
            before = max((length for ended, length in chain if ended <= begin), default=0)
            chain.append((end, before + 1))
        return max((length for _, length in chain), default=0)


class Proxy:
    """Passes connections on to a registry."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._lock = threading.Lock()
        self.count = Count()
        proxy = self

        class Handler(BaseRequestHandler):
            def handle(self) -> None:
                proxy._pass(self.request)

        class Server(ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 512

        self._server = Server(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def reset(self) -> Count:
        """Begin to count anew; what was counted before."""
        with self._lock:
            before, self.count = self.count, Count()
        return before

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _pass(self, client: socket.socket) -> None:
        """Pass one connection on; a request begins where bytes follow an answer."""
        with socket.create_connection(self._target) as server:
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            begun = [0.0, 0.0]  # when the request that is under way began, and its answer ended

            def answers() -> None:
                while data := _received(server):
                    now = time.monotonic()
                    with self._lock:
                        self.count.received += len(data)
                        begun[1] = now
                        if self.count.spans and begun[0]:
                            self.count.spans[int(begun[0]) - 1] = (
                                self.count.spans[int(begun[0]) - 1][0], now,
                            )  # fmt: skip
                    client.sendall(data)
                _shut(client)

            thread = threading.Thread(target=answers, daemon=True)
            thread.start()
            while data := _received(client):
                with self._lock:
                    self.count.sent += len(data)
                    if data.startswith((b"GET ", b"HEAD ", b"PUT ", b"POST ", b"PATCH ")):
                        now = time.monotonic()
                        self.count.requests += 1
                        self.count.spans.append((now, now))
                        begun[0] = len(self.count.spans)
                server.sendall(data)
            _shut(server)
            thread.join()


def _received(one: socket.socket) -> bytes:
    try:
        return one.recv(_PIECE)
    except OSError:
        return b""


def _shut(one: socket.socket) -> None:
    try:
        one.shutdown(socket.SHUT_WR)
    except OSError:
        return  # the other side has gone already


class Registry:
    """Debian's registry, of this run alone."""

    def __init__(self, program: str, folder: Path) -> None:
        folder.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.host = f"127.0.0.1:{free.getsockname()[1]}"
        settings = folder / "settings.yml"
        settings.write_text(
            f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}/kept}}}}\n"
            f'http: {{addr: "{self.host}"}}\nlog: {{accesslog: {{disabled: true}}, level: error}}\n'
        )
        self._process = Popen([program, "serve", settings], stdout=DEVNULL, stderr=DEVNULL)
        until = time.monotonic() + 30
        while not _listens(self.host):
            if time.monotonic() > until or self._process.poll() is not None:
                raise RuntimeError("the registry does not start")
            time.sleep(0.02)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()


def _listens(host: str) -> bool:
    name, _, port = host.rpartition(":")
    try:
        socket.create_connection((name, int(port)), 1).close()
    except OSError:
        return False
    return True
