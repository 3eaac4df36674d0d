"""Real registries for tests: Debian's `docker-registry` on loopback, in the ways people run it.

`registry(folder)` is the plain one; `tls`, `users` and `tokens` add a certificate of an own
authority, a file of users, and a token server in front.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from urllib.parse import parse_qs, urlsplit

import pytest

USER, PASSWORD = "mira", "open sesame"
# bcrypt of PASSWORD, as `htpasswd -B` writes it.
_USERS = f"{USER}:$2b$04$laminalaminalaminalameUcq2TOtBsLot5nLfEsLdNiNK9LfV4eW\n"
_SERVICE, _ISSUER = "the registry of the tests", "the tokens of the tests"
_PATIENCE = 30  # seconds for a registry to start


@dataclass(frozen=True, slots=True)
class Tls:
    """A certificate for this machine's own addresses, and the authority that signed it."""

    ca: Path
    certificate: Path
    key: Path
    client: Path  # a certificate for who asks, and its key
    client_key: Path


@dataclass(frozen=True, slots=True)
class Registry:
    """A registry that runs."""

    host: str  # `127.0.0.1:40123`
    folder: Path  # what it keeps
    log: Path
    tls: Tls | None = None

    @property
    def url(self) -> str:
        return f"{'http' if self.tls is None else 'https'}://{self.host}"

    def blob(self, sha256: str) -> Path:
        """The file of a blob."""
        return self.folder / f"docker/registry/v2/blobs/sha256/{sha256[:2]}/{sha256}/data"


class Quick(ThreadingHTTPServer):
    """A server that asks no name server what this machine is called."""

    daemon_threads = True
    request_queue_size = 128

    def server_bind(self) -> None:
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no fault of the test."""


@contextlib.contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve on loopback; the `host:port`."""
    server = Quick(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def need(tool: str) -> str:
    """Where a program is; the test is skipped where it is not."""
    found = shutil.which(tool)
    if found is None:
        pytest.skip(f"{tool} is not on this machine")
    return found


@contextlib.contextmanager
def registry(
    folder: Path,
    *,
    tls: Tls | None = None,
    users: bool = False,
    clients: bool = False,
    tokens: TokenServer | None = None,
    deletes: bool = True,
    address: str = "127.0.0.1",
    within: Sequence[str] = (),
) -> Iterator[Registry]:
    """Run a registry that keeps its blobs below a folder.

    With `clients` it speaks only to who has a certificate by the authority of `tls`. `within` are
    the words of a command that starts it, in another network.
    """
    program = need("docker-registry")
    folder.mkdir(parents=True, exist_ok=True)
    storage = {
        "filesystem": {"rootdirectory": str(folder / "kept")},
        "delete": {"enabled": deletes},
        # With its cache it tells for a while of blobs whose files a test has spoilt or removed.
        "cache": {},
    }
    http: dict[str, object] = {"addr": f"{address}:0"}
    if tls is not None:
        pair: dict[str, object] = {"certificate": str(tls.certificate), "key": str(tls.key)}
        http["tls"] = {**pair, "clientcas": [str(tls.ca)]} if clients else pair
    settings: dict[str, object] = {
        "version": "0.1",
        "log": {"level": "info", "accesslog": {"disabled": True}},
        "storage": storage,
        "http": http,
    }
    if users:
        (folder / "users").write_text(_USERS)
        settings["auth"] = {"htpasswd": {"realm": "tests", "path": str(folder / "users")}}
    if tokens is not None:
        settings["auth"] = {"token": tokens.settings}
    (folder / "settings.yml").write_text(json.dumps(settings))  # JSON is YAML
    log = folder / "log"
    with log.open("wb") as file:
        started = subprocess.Popen(
            [*within, program, "serve", folder / "settings.yml"],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    try:
        yield Registry(_listening(log, started, address), folder / "kept", log, tls)
    finally:
        started.terminate()
        started.wait(_PATIENCE)


def _listening(log: Path, started: subprocess.Popen[bytes], address: str) -> str:
    """Where the registry says that it listens."""
    until = time.monotonic() + _PATIENCE
    while True:
        text = log.read_text()
        found = re.search(rf"listening on ({re.escape(address)}:[0-9]+)", text)
        if found:
            return found[1]
        assert started.poll() is None and time.monotonic() < until, text
        time.sleep(0.02)


def make_tls(folder: Path) -> Tls:
    """An authority, and a certificate by it for `localhost` and 127.0.0.1."""
    folder.mkdir(parents=True, exist_ok=True)
    tls = Tls(*(folder / n for n in ("ca.crt", "server.crt", "server.key", "me.cert", "me.key")))
    _certify(
        tls.ca, folder / "ca.key", "the authority of the tests",
        "basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign",
    )  # fmt: skip
    _certify(
        tls.certificate, tls.key, "the registry of the tests",
        "subjectAltName=DNS:localhost,IP:127.0.0.1", "basicConstraints=critical,CA:FALSE",
        by=(tls.ca, folder / "ca.key"),
    )  # fmt: skip
    _certify(
        tls.client, tls.client_key, USER,
        "extendedKeyUsage=clientAuth", "basicConstraints=critical,CA:FALSE",
        by=(tls.ca, folder / "ca.key"),
    )  # fmt: skip
    return tls


def _certify(
    certificate: Path, key: Path, name: str, *extensions: str, by: Sequence[Path] = (),
    kind: Sequence[str] = ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
) -> None:  # fmt: skip
    words: list[str | Path] = [
        "req", "-x509", "-newkey", *kind, "-nodes", "-days", "2", "-subj", f"/CN={name}",
        "-keyout", key, "-out", certificate,
    ]  # fmt: skip
    if by:
        words += ["-CA", by[0], "-CAkey", by[1]]
    for extension in extensions:
        words += ["-addext", extension]
    subprocess.run([need("openssl"), *words], check=True, capture_output=True)


class TokenServer:
    """Gives out tokens that the registry believes: to all for pulls, to USER for pushes too."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._key, self._certificate = folder / "token.key", folder / "token.crt"
        _certify(self._certificate, self._key, _ISSUER, kind=("rsa:2048",))
        self.asked: list[tuple[dict[str, list[str]], str]] = []  # query and Authorization
        self.lifetime = 300  # seconds of a token
        self.host = ""

    @property
    def settings(self) -> dict[str, str]:
        """What the registry is told of it."""
        return {
            "realm": f"http://{self.host}/token",
            "service": _SERVICE,
            "issuer": _ISSUER,
            "rootcertbundle": str(self._certificate),
        }

    def answer(self, path: str, authorization: str) -> tuple[int, dict[str, object]]:
        """What a request for a token gets."""
        query = parse_qs(urlsplit(path).query)
        self.asked.append((query, authorization))
        basic = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if authorization not in ("", basic):
            return 401, {"details": "wrong user or password"}
        access: list[dict[str, object]] = []
        for scope in query.get("scope", []):
            kind, name, actions = scope.split(":")
            may = [each for each in actions.split(",") if authorization or each == "pull"]
            access.append({"type": kind, "name": name, "actions": may})
        token = self._sign(USER if authorization else "", access)
        return 200, {"token": token, "expires_in": self.lifetime}

    def _sign(self, user: str, access: list[dict[str, object]]) -> str:
        pem = self._certificate.read_text()
        der = "".join(line for line in pem.splitlines() if "-" not in line)
        now = int(time.time())
        claims = {
            "iss": _ISSUER, "sub": user, "aud": _SERVICE, "iat": now, "nbf": now - 60,
            "exp": now + self.lifetime, "jti": f"{now}-{len(self.asked)}", "access": access,
        }  # fmt: skip
        header = {"typ": "JWT", "alg": "RS256", "x5c": [der]}
        text = f"{_base64(json.dumps(header).encode())}.{_base64(json.dumps(claims).encode())}"
        words = [need("openssl"), "dgst", "-sha256", "-sign", str(self._key)]
        done = subprocess.run(words, input=text.encode(), check=True, capture_output=True)
        return f"{text}.{_base64(done.stdout)}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@contextlib.contextmanager
def token_server(folder: Path) -> Iterator[TokenServer]:
    """Run a token server, for `registry(…, tokens=…)`."""
    server = TokenServer(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, document = server.answer(self.path, self.headers.get("Authorization", ""))
            data = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_arguments: object) -> None:
            """Nothing is printed."""

    with serving(Handler) as server.host:
        yield server
