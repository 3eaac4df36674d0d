"""Fetches a file that is known by its digest: from the first of several addresses that has it.

What arrives goes into the scratch folder while it is hashed, and into the store only once it is
what it should be: of a wrong or broken download nothing is kept. A fault that may pass (no
connection, a busy server) is met by waiting and trying again, from where it broke off where the
server can do that. HTTP goes through httpx, which follows the proxy variables.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

from lamina.core.classes import dataclass, field
from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError, LaminaError, ServiceError, UserError
from lamina.store.local import LocalStore
from lamina.store.streams import Incoming

if TYPE_CHECKING:
    import httpx

SCHEMES = ("https", "http", "file")
_PAUSES = (0.5, 1, 2, 4)  # seconds before the second, third, … round of all addresses
_LONGEST_PAUSE = 30.0  # that a server may ask for
_CONNECT, _SILENCE = 15.0, 60.0  # seconds for a connection, and between two pieces
_CHUNK = 1 << 18
_PASSING = (408, 425, 429, 500, 502, 503, 504)  # statuses that another try may change
_AHEAD = 8  # pieces that arrive before somebody takes them
_HEARTBEAT = 0.2  # seconds


class Ended(BaseException):
    """The download was ended because all that wants it is being ended."""


class _Passing(Exception):
    """A fault that another try may not meet."""

    def __init__(self, message: str, pause: float = 0.0) -> None:
        super().__init__(message)
        self.pause = pause  # seconds that the server asked for


class _Lasting(Exception):
    """A fault that every try at this address will meet."""


class WrongContent(LaminaError):
    """An address gave something else than it should; what is in the store is none the worse."""

    exit_code = IntegrityError.exit_code

    def __init__(self, message: str, *, expected: str, found: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.expected = expected
        self.found = found


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file by its digest, and where it may be had; the first address is asked first."""

    urls: tuple[str, ...]
    sha256: str  # 64 lower-case hexadecimal digits
    size: int | None = None  # bytes, where that is known


@dataclass(slots=True)
class _Try:
    """The addresses of one download that are still worth asking, and what became of the others."""

    wanted: Wanted
    left: list[str] = field(init=False)
    faults: dict[str, str] = field(default_factory=dict)  # address -> the last fault there
    wrong: WrongContent | None = None

    def __post_init__(self) -> None:
        self.left = list(dict.fromkeys(self.wanted.urls))


class Downloader:
    """Fetches files into a store, several at once in as many threads; `cancel` ends them all."""

    def __init__(self, store: LocalStore, *, pauses: Sequence[float] = _PAUSES) -> None:
        self._store = store
        self._pauses = pauses
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._flights: dict[str, threading.Lock] = {}

    def cancel(self) -> None:
        """End every download at once, and let none start."""
        self._ended.set()

    def fetch(self, wanted: Wanted) -> Digest:
        """The blob of a file, fetched where the store lacks it.

        Raises UserError for an address that cannot be asked, ServiceError where none has the file,
        WrongContent where what they have is another one.
        """
        for url in wanted.urls:
            check_url(url)
        with self._flight(wanted.sha256):  # whoever wants the same waits for it
            known = self._store.find(wanted.sha256)
            return known if known is not None else self._fetch(_Try(wanted))

    def _flight(self, sha256: str) -> threading.Lock:
        with self._lock:
            return self._flights.setdefault(sha256, threading.Lock())

    def _fetch(self, attempt: _Try) -> Digest:
        with self._store.incoming() as incoming:
            for number, pause in enumerate((0.0, *self._pauses)):
                if number:
                    self._wait(pause)
                found = self._round(attempt, incoming)
                if found is not None:
                    return found
                if not attempt.left:
                    break
        raise _failure(attempt)

    def _round(self, attempt: _Try, incoming: Incoming) -> Digest | None:
        """Ask every address that is left once."""
        for url in list(attempt.left):
            try:
                self._receive(url, attempt.wanted, incoming)
                return self._adopt(url, attempt.wanted, incoming)
            except _Passing as fault:
                attempt.faults[url] = str(fault)
                if fault.pause:
                    self._wait(min(fault.pause, _LONGEST_PAUSE))
            except (_Lasting, WrongContent) as fault:
                attempt.faults[url] = str(fault)
                attempt.left.remove(url)
                incoming.restart()
                if isinstance(fault, WrongContent):
                    attempt.wrong = fault
        return None

    def _adopt(self, url: str, wanted: Wanted, incoming: Incoming) -> Digest:
        if incoming.sha256 != wanted.sha256:
            raise WrongContent(
                f"`{shown(url)}` is not what it should be\n"
                f"  expected sha256 {wanted.sha256}\n  found    sha256 {incoming.sha256}"
                f" ({incoming.size} bytes)",
                expected=wanted.sha256,
                found=incoming.sha256,
                hint="if the new content is right, write its digest down; nothing of it was kept",
            )
        return incoming.adopt()

    def _receive(self, url: str, wanted: Wanted, incoming: Incoming) -> None:
        """Take what an address has, after what has arrived already."""
        with closing(_Stream(url, incoming.size)) as stream:
            for first, piece in stream.pieces(self._ended):
                if first and incoming.size:
                    incoming.restart()  # it could not go on from where it broke off
                incoming.write(piece)
                if wanted.size is not None and incoming.size > wanted.size:
                    raise _Lasting(f"it has more than the {wanted.size} bytes it should have")

    def _wait(self, seconds: float) -> None:
        if self._ended.wait(seconds):
            raise Ended


def check_url(url: str) -> None:
    """Raises UserError for an address that is none, or of a kind that is not known."""
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES or not (parts.netloc or parts.scheme == "file"):
        raise UserError(
            f"not an address to fetch from: `{shown(url)}`",
            hint="it starts with `https://`, `http://` or `file:///`",
        )


def shown(url: str) -> str:
    """An address for people: without the password it may hold."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc="…@" + parts.netloc.rpartition("@")[2]))


def _failure(attempt: _Try) -> LaminaError:
    if attempt.wrong is not None and len(attempt.faults) == 1:
        return attempt.wrong
    lines = [f"`{shown(url)}`: {fault}" for url, fault in attempt.faults.items()]
    message = "\n".join((f"cannot fetch the file with sha256 {attempt.wanted.sha256}", *lines))
    if attempt.wrong is not None:
        wrong = attempt.wrong
        return WrongContent(
            message, expected=wrong.expected, found=wrong.found, hint=attempt.wrong.hint
        )
    hint = "look at the address and the network; `HTTPS_PROXY` and `NO_PROXY` are followed"
    return ServiceError(message, hint=hint, retryable=bool(attempt.left))


_Piece = tuple[bool, bytes]  # whether the file starts with it, and its bytes


class _Stream:
    """What an address gives, piece by piece.

    Looking up a name and waiting for an answer cannot be broken off; so a thread of its own does
    that, which is left to itself when nobody wants its pieces any more.
    """

    def __init__(self, url: str, size: int) -> None:
        """Begin, after the first `size` bytes if the server can do that."""
        self._pieces: queue.Queue[_Piece | BaseException | None] = queue.Queue(_AHEAD)
        self._unwanted = threading.Event()
        threading.Thread(target=self._work, args=(url, size), name="download", daemon=True).start()

    def close(self) -> None:
        """Want no more."""
        self._unwanted.set()

    def pieces(self, ended: threading.Event) -> Iterator[_Piece]:
        """All pieces; raises what stood against the next one, or Ended."""
        while not ended.is_set():
            try:
                item = self._pieces.get(timeout=_HEARTBEAT)
            except queue.Empty:
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item
        raise Ended

    def _work(self, url: str, size: int) -> None:
        try:
            with closing(_read(url, size)) as pieces:
                if all(self._put(piece) for piece in pieces):
                    self._put(None)
        except Exception as error:  # whatever it is, it belongs to who waits for the pieces
            self._put(error)

    def _put(self, item: _Piece | BaseException | None) -> bool:
        """Whether it is still wanted."""
        while not self._unwanted.is_set():
            try:
                self._pieces.put(item, timeout=_HEARTBEAT)
                return True
            except queue.Full:
                continue
        return False


def _read(url: str, size: int) -> Generator[_Piece, None, None]:
    parts = urlsplit(url)
    if parts.scheme == "file":
        return _read_file(parts.netloc, unquote(parts.path))
    return _read_http(url, size)


def _read_file(host: str, path: str) -> Generator[_Piece, None, None]:
    if host not in ("", "localhost"):
        raise _Lasting(f"a `file` address of another machine, `{host}`")
    try:
        with Path(path).open("rb") as file:
            first = True
            while piece := file.read(_CHUNK):
                yield first, piece
                first = False
    except OSError as error:
        raise _Lasting(str(error.strerror).lower()) from error


def _read_http(url: str, size: int) -> Generator[_Piece, None, None]:
    from lamina.store.http import httpx

    # A server that packs what is packed already would change what the digest is of.
    headers = {"User-Agent": "lamina", "Accept": "*/*", "Accept-Encoding": "identity"}
    if size:
        headers["Range"] = f"bytes={size}-"
    timeout = httpx.Timeout(_SILENCE, connect=_CONNECT)
    try:
        with (
            httpx.Client(follow_redirects=True, timeout=timeout, headers=headers) as client,
            client.stream("GET", url) as response,
        ):
            first = not _goes_on(response, size)
            arrived = 0
            if response.status_code == 416:
                return  # there is no more
            for piece in response.iter_raw():
                yield first, piece
                first, arrived = False, arrived + len(piece)
            _check_whole(response, arrived)
    except (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError) as error:
        raise _Passing(_words(error)) from error
    except httpx.ProxyError as error:
        raise _Passing(f"the proxy: {_words(error)}") from error
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, ImportError) as error:
        # A proxy of a kind that httpx cannot speak to is told as a module that is not there.
        raise _Lasting(_words(error)) from error


def _goes_on(response: httpx.Response, size: int) -> bool:
    """Whether an answer goes on after the bytes that are there; raises what is wrong with it."""
    status = response.status_code
    if status == 200:
        return False
    if size and status == 416:
        return True
    if status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {size}-"):
        return True
    fault = f"the server says {status} {response.reason_phrase}".rstrip()
    if status in _PASSING:
        raise _Passing(fault, _asked_pause(response))
    raise _Lasting(fault)


def _asked_pause(response: httpx.Response) -> float:
    """The seconds after which the server wants to be asked again; it may also tell a date."""
    text = response.headers.get("Retry-After", "").strip()
    return float(text) if text.isdecimal() else 0.0


def _check_whole(response: httpx.Response, arrived: int) -> None:
    """Raises _Passing for an answer that ended too soon, which HTTP/1.0 does not tell of."""
    told = response.headers.get("Content-Length", "")
    if told.isdecimal() and arrived < int(told):
        raise _Passing(f"it broke off after {arrived} of {told} bytes")


def _words(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text[:1].lower() + text[1:]
