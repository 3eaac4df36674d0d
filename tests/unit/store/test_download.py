"""Downloads from a real server on this machine, which fails in the ways that servers do."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer

import pytest

from lamina.core.digest import Digest
from lamina.core.errors import LaminaError, ServiceError, UserError
from lamina.store.download import Downloader, Ended, Wanted, WrongContent, shown
from lamina.store.local import LocalStore

DATA = bytes(range(256)) * 4000  # more than one piece
SHA256 = hashlib.sha256(DATA).hexdigest()


class Quick(ThreadingHTTPServer):
    """Asks no name server what this machine is called."""

    daemon_threads = True

    def server_bind(self) -> None:
        TCPServer.server_bind(self)
        self.server_port = self.server_address[1]


class Server:
    """Serves DATA; `answers` says how the next requests are answered, in place of that."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []  # path and Range of each request
        self.answers: list[Callable[[BaseHTTPRequestHandler], None]] = []
        self.released = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append((self.path, self.headers.get("Range", "")))
                answer = server.answers.pop(0) if server.answers else whole
                answer(self)

            def log_message(self, *_arguments: object) -> None:
                """Nothing is printed."""

        self._server = Quick(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def hold(self, _handler: BaseHTTPRequestHandler) -> None:
        """Do not answer before the end."""
        self.released.wait(30)

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()


def whole(handler: BaseHTTPRequestHandler, data: bytes = DATA) -> None:
    """The file, or the rest of it where that is asked for."""
    start = int(handler.headers.get("Range", "bytes=0-")[6:-1])
    handler.send_response(206 if start else 200)
    if start:
        handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
    handler.send_header("Content-Length", str(len(data) - start))
    handler.end_headers()
    handler.wfile.write(data[start:])


def without_ranges(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(DATA)


def broken_off(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(DATA)))
    handler.end_headers()
    handler.wfile.write(DATA[:600_000])


def status(code: int) -> Callable[[BaseHTTPRequestHandler], None]:
    return lambda handler: handler.send_error(code)


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


@pytest.fixture
def downloader(store: LocalStore) -> Downloader:
    return Downloader(store, pauses=(0.01, 0.01))


def kept(store: LocalStore) -> list[str]:
    """Every file below the store's folders of blobs and of scratch."""
    folders = (store.folder / "blobs", store.folder / "tmp")
    return [path.name for folder in folders for path in folder.rglob("*") if path.is_file()]


def test_a_file_is_fetched_into_the_store(
    server: Server, store: LocalStore, downloader: Downloader
) -> None:
    digest = downloader.fetch(Wanted((f"{server.url}/x",), SHA256, len(DATA)))

    assert digest == Digest.of(DATA)
    assert store.read(digest) == DATA


def test_what_the_store_has_is_not_fetched(
    server: Server, store: LocalStore, downloader: Downloader
) -> None:
    store.write(DATA)

    downloader.fetch(Wanted((f"{server.url}/x",), SHA256))

    assert server.asked == []


def test_a_wrong_file_is_told_with_both_digests_and_not_kept(
    server: Server, store: LocalStore, downloader: Downloader
) -> None:
    server.answers = [lambda handler: whole(handler, b"other")]

    with pytest.raises(WrongContent) as caught:
        downloader.fetch(Wanted((f"{server.url}/x",), SHA256))

    assert f"`{server.url}/x` is not what it should be" in caught.value.message
    assert SHA256 in caught.value.message
    assert hashlib.sha256(b"other").hexdigest() in caught.value.message
    assert kept(store) == []


def test_a_mirror_is_asked_where_the_first_address_has_something_else(
    server: Server, store: LocalStore, downloader: Downloader
) -> None:
    server.answers = [lambda handler: whole(handler, b"other" * 300_000)]

    digest = downloader.fetch(Wanted((f"{server.url}/a", f"{server.url}/b"), SHA256))

    assert store.read(digest) == DATA
    assert server.asked == [("/a", ""), ("/b", "")]


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_busy_server_is_asked_again(server: Server, downloader: Downloader, code: int) -> None:
    server.answers = [status(code), status(code)]

    assert downloader.fetch(Wanted((f"{server.url}/x",), SHA256)) == Digest.of(DATA)
    assert len(server.asked) == 3


def test_a_server_that_has_no_such_file_is_asked_once(
    server: Server, downloader: Downloader
) -> None:
    server.answers = [status(404)]

    with pytest.raises(ServiceError, match="the server says 404"):
        downloader.fetch(Wanted((f"{server.url}/x",), SHA256))

    assert len(server.asked) == 1


def test_a_download_goes_on_from_where_it_broke_off(
    server: Server, store: LocalStore, downloader: Downloader
) -> None:
    server.answers = [broken_off]

    digest = downloader.fetch(Wanted((f"{server.url}/x",), SHA256))

    assert store.read(digest) == DATA
    assert server.asked[1] == ("/x", "bytes=600000-")


def test_a_download_begins_anew_where_the_server_knows_no_ranges(
    server: Server, store: LocalStore, downloader: Downloader
) -> None:
    server.answers = [broken_off, without_ranges]

    assert store.read(downloader.fetch(Wanted((f"{server.url}/x",), SHA256))) == DATA


def test_a_redirect_is_followed(server: Server, downloader: Downloader) -> None:
    def elsewhere(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", "/y")
        handler.end_headers()

    server.answers = [elsewhere]

    assert downloader.fetch(Wanted((f"{server.url}/x",), SHA256)) == Digest.of(DATA)
    assert [path for path, _ in server.asked] == ["/x", "/y"]


def test_what_is_larger_than_told_is_not_read_to_its_end(
    server: Server, store: LocalStore, downloader: Downloader
) -> None:
    with pytest.raises(LaminaError, match="more than the 10 bytes it should have"):
        downloader.fetch(Wanted((f"{server.url}/x",), SHA256, 10))

    assert kept(store) == []


def test_the_proxy_of_the_environment_is_asked(
    server: Server, downloader: Downloader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", "")

    downloader.fetch(Wanted(("http://nowhere.invalid/x",), SHA256))

    assert server.asked == [("http://nowhere.invalid/x", "")]


def test_a_file_of_this_machine_is_copied(
    tmp_path: Path, store: LocalStore, downloader: Downloader
) -> None:
    path = tmp_path / "with space"
    path.write_bytes(DATA)

    assert store.read(downloader.fetch(Wanted((path.as_uri(),), SHA256))) == DATA


def test_a_file_that_is_not_there_is_told(tmp_path: Path, downloader: Downloader) -> None:
    with pytest.raises(ServiceError, match="no such file or directory"):
        downloader.fetch(Wanted((f"file://{tmp_path}/x",), SHA256))


@pytest.mark.parametrize("url", ["ftp://a/b", "a/b.tar", "http:///x", ""])
def test_what_is_no_address_is_told(downloader: Downloader, url: str) -> None:
    with pytest.raises(UserError, match="not an address to fetch from"):
        downloader.fetch(Wanted((url,), SHA256))


def test_a_refused_connection_names_every_address(downloader: Downloader) -> None:
    urls = ("http://127.0.0.1:9/a", "http://u:secret@127.0.0.1:9/b")

    with pytest.raises(ServiceError) as caught:
        downloader.fetch(Wanted(urls, SHA256))

    assert "`http://127.0.0.1:9/a`: " in caught.value.message
    assert "`http://…@127.0.0.1:9/b`: " in caught.value.message
    assert caught.value.retryable


def test_who_wants_the_same_at_once_waits_for_it(server: Server, downloader: Downloader) -> None:
    wanted = Wanted((f"{server.url}/x",), SHA256)
    threads = [threading.Thread(target=downloader.fetch, args=(wanted,)) for _ in range(4)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(server.asked) == 1


def test_a_download_that_waits_for_the_server_ends_at_once(
    server: Server, store: LocalStore, downloader: Downloader
) -> None:
    server.answers = [server.hold]
    threading.Timer(0.2, downloader.cancel).start()
    begun = time.monotonic()

    with pytest.raises(Ended):
        downloader.fetch(Wanted((f"{server.url}/x",), SHA256))

    assert time.monotonic() - begun < 5
    assert kept(store) == []


def test_a_password_is_not_shown() -> None:
    assert shown("https://u:p@host:1/x?y") == "https://…@host:1/x?y"
    assert shown("https://host/x@y") == "https://host/x@y"
