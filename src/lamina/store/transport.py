"""Requests to a registry: who asks, over what, again after faults that may pass.

HTTP goes through httpx, which keeps connections, follows the proxy variables and can bound each
step. Who asks is told to nobody but the registry itself (`authentication`).
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urljoin, urlsplit

from lamina.core.classes import dataclass
from lamina.core.errors import HostError, ServiceError
from lamina.core.reference import Reference
from lamina.store import certificates
from lamina.store.answers import Answer, asked_pause, body_of, reason
from lamina.store.authentication import Authentication
from lamina.store.credentials import Credentials
from lamina.store.repository import NotThere, Refused, absent

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

CONNECT, SILENCE = 10.0, 60.0  # seconds for a connection, and between two pieces
_PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)  # seconds before the second, third, … try
_TRIES = len(_PAUSES) + 1
_LONGEST_PAUSE = 60.0  # that a registry may ask for
_PATIENCE = 180.0  # seconds after which nothing is tried again
_UNREACHED = 4  # tries of a connection that nobody takes
_PASSING = (408, 425, 429, 500, 502, 503, 504)  # statuses that another try may change
_MOVED = (301, 302, 303, 307, 308)
_REDIRECTS = 5
_ANSWER = 1 << 20  # bytes of an answer that is no content


@dataclass(frozen=True, slots=True)
class Access:
    """How a registry is reached."""

    ca: Path | None = None  # certificates that it is trusted by, besides those of the system
    plain_http: bool = False  # without TLS, also to another machine


class Passing(Exception):
    """A fault that another try may not meet."""

    def __init__(self, message: str, pause: float = 0.0, *, tries: int = 1 << 30) -> None:
        super().__init__(message)
        self.pause = pause  # seconds that the registry asked for
        self.tries = tries  # as many as are worth it


class _Tls(Exception):
    """A registry of this machine speaks TLS."""


class Transport:
    """Speaks to one registry, about one repository; safe to use from threads."""

    def __init__(
        self, reference: Reference, access: Access, known: Credentials | None = None
    ) -> None:
        """`known` is who asks, in place of whom this machine knows for the registry."""
        self._host = reference.host
        self._reference = reference
        # Nobody else can listen on the way to this machine, where most registries have no TLS.
        is_guess = (
            reference.is_local_host and access.ca is None and not certificates.folders(self._host)
        )
        self._may_be_tls = is_guess and not access.plain_http  # until it answers without
        plain = access.plain_http or is_guess
        self.base = f"{'http' if plain else 'https'}://{_address(reference.host)}"
        self._access = access
        self._lock = threading.Lock()
        # By whether it is with TLS, and whether for the registry itself.
        self._clients: dict[tuple[bool, bool], httpx.Client] = {}
        self._who = Authentication(self._host, self._ask_for_token, known, access.plain_http)

    def close(self) -> None:
        """Give up all connections."""
        for client in self._clients.values():
            client.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        scope: str = "",
        limit: int = _ANSWER,
        ok: tuple[int, ...] = (200,),
    ) -> Answer:
        """Ask, again where that may help, and read the whole answer, of `limit` bytes at most.

        `path` may be an address that the registry gave. Raises NotThere for 404, Refused, and
        ServiceError for what lasts.
        """
        once = partial(
            self.once, method, path,
            headers=headers, content=content, scope=scope, limit=limit, ok=ok,
        )  # fmt: skip
        return self.again(once, f"{method} {self._shown(path)}")

    def once(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        scope: str = "",
        limit: int = _ANSWER,
        ok: tuple[int, ...] = (200,),
    ) -> Answer:
        """As `request`, but only once: raises Passing for what may pass."""
        with self.stream(
            method, path, headers=headers, content=content, scope=scope, ok=ok
        ) as response:
            data = b"" if method == "HEAD" else body_of(response, limit)
            return Answer(response.status_code, response.headers, data)

    def log_in(self) -> bool:
        """Try whether the registry knows who asks; whether it wanted to know. Raises Refused."""
        self.request("GET", "/v2/")
        return self._who.was_asked

    def again(self, work: Callable[[], T], what: str) -> T:
        """What some work gives, which is tried again as long as its faults may pass."""
        until = time.monotonic() + _PATIENCE
        for number in range(_TRIES):
            try:
                return work()
            except Passing as fault:
                if number + 1 >= min(_TRIES, fault.tries) or time.monotonic() > until:
                    raise self._failed(what, str(fault)) from fault
                self.pause(number, fault)
        raise AssertionError

    def pause(self, number: int, fault: Passing) -> None:
        """Wait before the next try: longer each time, and never as long as all others do."""
        usual = _PAUSES[min(number, len(_PAUSES) - 1)] * random.uniform(0.5, 1.5)
        time.sleep(min(max(usual, fault.pause), _LONGEST_PAUSE))

    def _failed(self, what: str, fault: str) -> ServiceError:
        return ServiceError(
            f"the registry `{self._host}` cannot be used: {fault}\n  at {what}",
            hint="look at its address and the network; `HTTPS_PROXY` and `NO_PROXY` are followed",
            retryable=True,
        )

    @contextlib.contextmanager
    def stream(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        scope: str = "",
        ok: tuple[int, ...] = (200,),
    ) -> Iterator[httpx.Response]:
        """Ask once, and give the answer while it arrives; raises Passing for what may pass."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._faults(f"{method} {self._shown(path)}"))
            ask = partial(self._authorised, method, path, dict(headers or {}), content, scope)
            try:
                response = stack.enter_context(ask())
            except _Tls:
                response = stack.enter_context(self._with_tls(ask))
            self._check(response, method, path, ok)
            yield response

    @contextlib.contextmanager
    def _with_tls(
        self, ask: Callable[[], AbstractContextManager[httpx.Response]]
    ) -> Iterator[httpx.Response]:
        """Ask a registry of this machine with TLS, from now on if it has it."""
        from lamina.store.http import httpx

        address = _address(self._host)
        self.base = f"https://{address}"
        try:
            with ask() as response:
                yield response
        except httpx.ConnectError as error:
            if not certificates.is_without_tls(error):
                raise
            self.base, self._may_be_tls = f"http://{address}", False
            raise Passing("it says 400 Bad Request") from error

    @contextlib.contextmanager
    def _faults(self, what: str) -> Iterator[None]:
        """Tell faults that may pass from those that last."""
        from lamina.store.http import httpx

        try:
            yield
        except httpx.ConnectError as error:
            if certificates.is_distrust(error):
                raise HostError(
                    f"the registry `{self._host}` is not trusted: {_words(error)}",
                    hint="`--ca FILE` names the certificate of its authority, "
                    "`--plain-http` speaks without TLS",
                ) from error
            if certificates.is_without_tls(error):
                raise HostError(
                    f"the registry `{self._host}` speaks no TLS: {_words(error)}",
                    hint="`--plain-http` speaks without",
                ) from error
            raise Passing(_words(error), tries=_UNREACHED) from error
        except httpx.ConnectTimeout as error:
            raise Passing("it takes no connection in time", tries=_UNREACHED) from error
        except (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError) as error:
            raise Passing(_words(error)) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._failed(what, _words(error)) from error

    @contextlib.contextmanager
    def _authorised(
        self, method: str, path: str, headers: dict[str, str], content: bytes | None, scope: str
    ) -> Iterator[httpx.Response]:
        base = self.base
        url = self.joined(f"{base}/", path)
        scope = scope or self._scope(method)
        ours = _origin(url) == _origin(base)
        for is_last in (False, True):
            said = self._who.header(scope) if ours else ""
            mine = {"Authorization": said} if said else {}
            with self._following(method, url, headers | mine, content) as response:
                # Another server's wish to know who asks is not the registry's.
                is_its_own = _origin(str(response.url)) == _origin(base)
                if is_its_own and base.startswith("http:") and self._speaks_tls(response):
                    raise _Tls
                challenges = response.headers.get_list("WWW-Authenticate") if is_its_own else []
                if (
                    response.status_code != 401
                    or is_last
                    or not self._who.learn(challenges, scope, said)
                ):
                    yield response
                    return

    def _speaks_tls(self, response: httpx.Response) -> bool:
        """Whether an answer without TLS is the complaint of a server that has it."""
        kind = response.headers.get("Content-Type", "")
        complains = response.status_code == 400 and not kind.startswith("application/")
        self._may_be_tls = self._may_be_tls and complains
        return self._may_be_tls

    def joined(self, base: str, path: str) -> str:
        """The address that one leads to from another; raises ServiceError where that is none."""
        try:
            url = urljoin(base, path)
            scheme, host, _ = _origin(url)
        except ValueError:
            scheme = host = ""
        if scheme not in ("http", "https") or not host:
            raise ServiceError(f"the registry `{self._host}` sends us to `{path[:200]}`")
        if base.startswith("https:") and scheme != "https":
            raise ServiceError(f"the registry `{self._host}` sends us to an address without TLS")
        return url

    @contextlib.contextmanager
    def _following(
        self, method: str, url: str, headers: dict[str, str], content: bytes | None
    ) -> Iterator[httpx.Response]:
        """Follow where the registry sends us, without telling others who we are."""
        for _ in range(_REDIRECTS):
            client = self._open(url)
            with client.stream(method, url, headers=headers, content=content) as response:
                target = response.headers.get("Location")
                if (
                    response.status_code not in _MOVED
                    or not target
                    or method not in ("GET", "HEAD")
                ):
                    yield response
                    return
            before, url = url, self.joined(url, target)
            if _origin(before) != _origin(url):
                headers = {key: each for key, each in headers.items() if key != "Authorization"}
        raise ServiceError(f"the registry `{self._host}` sends us from one address to the next")

    def _check(self, response: httpx.Response, method: str, path: str, ok: tuple[int, ...]) -> None:
        status = response.status_code
        if status in ok:
            return
        words = f"{status} {response.reason_phrase}".strip()
        if status in _PASSING:
            raise Passing(f"it says {words}", asked_pause(response))
        if method != "HEAD":
            words += reason(body_of(response, _ANSWER))
        if status in (401, 403):
            known = "does not allow that" if self._who.has_login else "does not know who asks"
            raise Refused(
                f"the registry `{self._host}` {known}: {words}\n  at {self._shown(path)}",
                hint=f"`lamina login {self._host}`",
            )
        if status == 404:
            raise self._absent(urlsplit(path).path, words)
        raise ServiceError(
            f"the registry `{self._host}` says {words}\n  at {method} {self._shown(path)}"
        )

    def _absent(self, path: str, words: str) -> NotThere:
        """What a 404 means: for anything but a blob and a manifest, that there is no repository."""
        kind, _, name = path.rpartition("/")
        if name and kind.endswith(("/blobs", "/manifests")):
            return absent(self._reference.place, name, words)
        hint = "look at the name; `lamina push` makes one, where the registry lets it"
        return NotThere(f"there is no repository `{self._reference.place}`: {words}", hint=hint)

    def _shown(self, path: str) -> str:
        return urlsplit(path).path

    def _scope(self, method: str) -> str:
        if not self._reference.repository:
            return ""
        actions = "pull" if method in ("GET", "HEAD") else "pull,push"
        return f"repository:{self._reference.repository}:{actions}"

    def _ask_for_token(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None
    ) -> Answer:
        place = urlsplit(url).netloc.rpartition("@")[2]

        def ask() -> Answer:
            with (
                self._faults(f"token of {place}"),
                self._open(url).stream(
                    method, url, headers=dict(headers), content=content
                ) as response,
            ):
                if response.status_code in _PASSING:
                    raise Passing(f"it says {response.status_code}", asked_pause(response))
                return Answer(response.status_code, response.headers, body_of(response, _ANSWER))

        return self.again(ask, f"token of {place}")

    def _open(self, url: str) -> httpx.Client:
        from lamina.store.http import httpx

        with_tls, ours = url.startswith("https:"), _origin(url) == _origin(self.base)
        with self._lock:
            if (with_tls, ours) not in self._clients:
                timeout = httpx.Timeout(SILENCE, connect=CONNECT)
                # What is packed already must come as it is: its digest is of that.
                headers = {"User-Agent": "lamina", "Accept-Encoding": "identity"}
                # Reading all certificates of the system is dear, and needed for TLS alone.
                verify = (
                    certificates.trust(self._host, self._access.ca, show=ours)
                    if with_tls
                    else False
                )
                try:
                    self._clients[with_tls, ours] = httpx.Client(
                        timeout=timeout, headers=headers, verify=verify
                    )
                except (ImportError, ValueError, httpx.InvalidURL) as error:
                    # A proxy of a kind that httpx cannot speak to is told as a missing module.
                    raise HostError(f"cannot use the proxy: {error}") from error
            return self._clients[with_tls, ours]


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname or "", parts.port or usual


def _address(host: str) -> str:
    return "registry-1.docker.io" if host in ("docker.io", "index.docker.io") else host


def _words(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text[:1].lower() + text[1:]
