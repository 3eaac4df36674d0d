"""A proxy in front of a real registry that counts what passes, and fails when it is told to.

    with proxy(registry.host) as between:
        between.spoil(cut(100), method="GET", path="/blobs/")

The next request that fits meets the fault; all others pass unharmed.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler

from tests.servers import serving

_PIECE = 1 << 16
_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "date"})


@dataclass(slots=True)
class Asked:
    """A request that came through, and how much of it."""

    method: str
    path: str
    headers: dict[str, str]  # by names in lower case
    received: int = 0  # bytes of its body
    sent: int = 0  # bytes of the answer's body
    status: int = 0


@dataclass(slots=True)
class Answer:
    """What the registry said."""

    status: int
    headers: dict[str, str]
    body: bytes


class Gone(Exception):
    """The connection was cut on purpose."""


class Exchange:
    """A request on its way through, in the hands of a fault."""

    def __init__(self, handler: BaseHTTPRequestHandler, target: str, asked: Asked) -> None:
        self.asked = asked
        self._handler = handler
        self._target = target
        self.length = int(handler.headers.get("Content-Length", "0"))

    def body(self, size: int | None = None) -> bytes:
        """So much of the request's body, by default the rest."""
        left = self.length - self.asked.received
        data = self._handler.rfile.read(left if size is None else min(size, left))
        self.asked.received += len(data)
        return data

    def ask(self, body: bytes | None = None) -> Answer:
        """What the registry says to this request."""
        body = self.body() if body is None else body
        connection = http.client.HTTPConnection(self._target, timeout=60)
        try:
            headers = {**self.asked.headers, "content-length": str(len(body))}
            if self.asked.method in ("GET", "HEAD"):
                del headers["content-length"]
            connection.request(self.asked.method, self.asked.path, body or None, headers)
            found = connection.getresponse()
            return Answer(found.status, dict(found.getheaders()), found.read())
        finally:
            connection.close()

    def ask_partly(self, size: int) -> None:
        """Let the registry have so much of a body that is announced in full, then cut."""
        data = self.body(size)
        host, _, port = self._target.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            lines = [f"{self.asked.method} {self.asked.path} HTTP/1.1"]
            lines += [f"{name}: {value}" for name, value in self.asked.headers.items()]
            connection.sendall("\r\n".join([*lines, "", ""]).encode() + data)

    def say(self, answer: Answer, *, length: int | None = None) -> None:
        """Answer; `length` is told in place of the true one, -1 for none at all."""
        self.asked.status = answer.status
        handler = self._handler
        handler.send_response_only(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in _HOP:
                handler.send_header(name, value)
        told = len(answer.body) if length is None else length
        if self.asked.method == "HEAD":
            told = int(answer.headers.get("Content-Length", "0"))
        if told >= 0 and answer.status not in (204, 304):
            handler.send_header("Content-Length", str(told))
        else:
            handler.close_connection = True
        handler.end_headers()
        if self.asked.method != "HEAD":
            self.write(answer.body)
        if told > len(answer.body) and self.asked.method != "HEAD":
            handler.close_connection = True

    def write(self, data: bytes) -> None:
        """A piece of the answer's body."""
        self._handler.wfile.write(data)
        self._handler.wfile.flush()
        self.asked.sent += len(data)

    def cut(self) -> None:
        """End the connection: by a reset, unless a part of the answer is on its way."""
        self._handler.close_connection = True
        with contextlib.suppress(OSError):
            if not self.asked.sent:
                option = struct.pack("ii", 1, 0)
                self._handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
            self._handler.connection.close()
        raise Gone


Fault = Callable[[Exchange], None]


@dataclass(slots=True)
class _Plan:
    fault: Fault
    method: str
    path: str
    times: int

    def fits(self, asked: Asked) -> bool:
        return self.times > 0 and self.method in ("", asked.method) and self.path in asked.path


class Proxy:
    """Passes requests on to a registry, all but those that are to fail."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.host = ""
        self.asked: list[Asked] = []
        self.released = threading.Event()  # ends all that stall
        self._plans: list[_Plan] = []
        self._lock = threading.Lock()

    def spoil(self, fault: Fault, *, method: str = "", path: str = "", times: int = 1) -> None:
        """Let the next requests that fit meet a fault."""
        with self._lock:
            self._plans.append(_Plan(fault, method, path, times))

    def of(self, method: str, path: str = "") -> list[Asked]:
        """The requests so far of a method, whose path has some text in it."""
        return [each for each in self.asked if each.method == method and path in each.path]

    @property
    def is_done(self) -> bool:
        """Whether every fault was met."""
        return all(plan.times == 0 for plan in self._plans)

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        headers = {name.lower(): value for name, value in handler.headers.items()}
        asked = Asked(handler.command, handler.path, headers)
        with self._lock:
            self.asked.append(asked)
            plan = next((each for each in self._plans if each.fits(asked)), None)
            if plan is not None:
                plan.times -= 1
        exchange = Exchange(handler, self.target, asked)
        try:
            if plan is not None:
                plan.fault(exchange)
            else:
                exchange.say(exchange.ask())
        except (Gone, BrokenPipeError, ConnectionResetError):
            handler.close_connection = True


@contextlib.contextmanager
def proxy(target: str) -> Iterator[Proxy]:
    """Run a proxy in front of a registry, `host:port`."""
    between = Proxy(target)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            with contextlib.suppress(ConnectionError, ValueError, OSError):
                super().handle_one_request()
                return
            self.close_connection = True

        def log_message(self, *_arguments: object) -> None:
            """Nothing is printed."""

    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
        setattr(Handler, f"do_{method}", lambda handler: between.serve(handler))
    try:
        with serving(Handler) as between.host:
            yield between
    finally:
        between.released.set()


def cut(after: int = 0) -> Fault:
    """The answer breaks off after so many bytes of its body; the request had its effect."""

    def fault(exchange: Exchange) -> None:
        answer = exchange.ask()
        if after:
            size = len(answer.body)
            exchange.say(Answer(answer.status, answer.headers, answer.body[:after]), length=size)
        exchange.cut()

    return fault


def lose(after: int = 0, *, told: bool = False) -> Fault:
    """The request breaks off after so many bytes of its body; `told`: the registry has those."""

    def fault(exchange: Exchange) -> None:
        if told:
            exchange.ask_partly(after)
        else:
            exchange.body(after)
        exchange.cut()

    return fault


def say(status: int, body: bytes = b"", **headers: str) -> Fault:
    """An answer that the registry never gave; `_` stands for `-` in the names of headers."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def fault(exchange: Exchange) -> None:
        exchange.body()
        exchange.say(Answer(status, named, body))

    return fault


def change(how: Callable[[Answer], Answer], *, length: int | None = None) -> Fault:
    """The registry's answer, changed."""

    def fault(exchange: Exchange) -> None:
        exchange.say(how(exchange.ask()), length=length)

    return fault


def stall(between: Proxy, after: int = 0) -> Fault:
    """Nothing more comes after so many bytes of the answer's body, until the test ends."""

    def fault(exchange: Exchange) -> None:
        answer = exchange.ask()
        if after:
            size = len(answer.body)
            exchange.say(Answer(answer.status, answer.headers, answer.body[:after]), length=size)
        between.released.wait(60)
        exchange.cut()

    return fault


def endless(between: Proxy, *, most: int = 1 << 30) -> Fault:
    """A body without an end, or nearly."""

    def fault(exchange: Exchange) -> None:
        answer = exchange.ask()
        exchange.say(answer, length=-1)
        while exchange.asked.sent < most and not between.released.is_set():
            exchange.write(bytes(_PIECE))

    return fault
