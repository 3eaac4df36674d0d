"""Requests to a registry: who asks, over what, again after faults that may pass.

HTTP goes through httpx, which keeps connections, follows the proxy variables and can bound each
step. Authentication is that of github.com/distribution/distribution, docs/spec/auth: basic, and
tokens from a server that the registry names.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urljoin, urlsplit

from lamina.core.errors import HostError, IntegrityError, ServiceError
from lamina.core.reference import Reference
from lamina.store import credentials
from lamina.store.credentials import Credentials
from lamina.store.repository import NotThere, Refused

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

CONNECT, SILENCE = 10.0, 60.0  # seconds for a connection, and between two pieces
_PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)  # seconds before the second, third, … try
_LONGEST_PAUSE = 60.0  # that a registry may ask for
_PASSING = (408, 425, 429, 500, 502, 503, 504)  # statuses that another try may change
_MOVED = (301, 302, 303, 307, 308)
_REDIRECTS = 5
_ANSWER = 1 << 20  # bytes of an answer that is no content
_TOKEN_LIFE = 60  # seconds, where the server does not say
_CERTIFICATES = Path("/etc/docker/certs.d")
_PARAMETER = re.compile(r'([a-zA-Z]+)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Access:
    """How a registry is reached."""

    ca: Path | None = None  # certificates that it is trusted by, besides those of the system
    plain_http: bool = False  # without TLS, also to another machine


class Passing(Exception):
    """A fault that another try may not meet."""

    def __init__(self, message: str, pause: float = 0.0) -> None:
        super().__init__(message)
        self.pause = pause  # seconds that the registry asked for


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    until: float  # by time.monotonic()


class Transport:
    """Speaks to one registry, about one repository; safe to use from threads."""

    def __init__(self, reference: Reference, access: Access) -> None:
        self._host = reference.host
        self._reference = reference
        # Nobody else can listen on the way to this machine; a registry for tests has no more.
        plain = access.plain_http or (reference.is_local_host and access.ca is None)
        self.base = f"{'http' if plain else 'https'}://{_address(reference.host)}"
        self._access = access
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None
        self._scheme = ""  # of authentication, once the registry has asked for one
        self._challenge: Mapping[str, str] = {}
        self._tokens: dict[str, _Token] = {}
        self._known: Credentials | None = None
        self._has_asked = False

    def close(self) -> None:
        """Give up all connections."""
        if self._client is not None:
            self._client.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        scope: str = "",
        tries: int = len(_PAUSES) + 1,
        limit: int = _ANSWER,
        ok: tuple[int, ...] = (200,),
    ) -> Answer:
        """Ask, again where that may help, and read the whole answer, of `limit` bytes at most.

        `path` may be an address that the registry gave. Raises NotThere for 404, Refused, and
        ServiceError for what lasts.
        """

        def ask() -> Answer:
            with self.stream(
                method, path, headers=headers, content=content, scope=scope, ok=ok
            ) as response:
                data = b"" if method == "HEAD" else _body(response, limit)
                return Answer(response.status_code, response.headers, data)

        return self.again(ask, f"{method} {self._shown(path)}", tries=tries)

    def again(self, work: Callable[[], T], what: str, *, tries: int = len(_PAUSES) + 1) -> T:
        """What some work gives, which is tried again as long as its faults may pass."""
        for number in range(tries):
            try:
                return work()
            except Passing as fault:
                if number + 1 == tries:
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
        import httpx

        url = urljoin(f"{self.base}/", path)
        try:
            with contextlib.ExitStack() as stack:
                response = stack.enter_context(
                    self._authorised(method, url, dict(headers or {}), content, scope)
                )
                self._check(response, method, path, ok)
                yield response
        except (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError) as error:
            if _is_certificate(error):
                raise HostError(
                    f"the registry `{self._host}` is not trusted: {_words(error)}",
                    hint="`--ca FILE` names the certificate of its authority, "
                    "`--plain-http` speaks without TLS",
                ) from error
            raise Passing(_words(error)) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._failed(f"{method} {self._shown(path)}", _words(error)) from error

    @contextlib.contextmanager
    def _authorised(
        self, method: str, url: str, headers: dict[str, str], content: bytes | None, scope: str
    ) -> Iterator[httpx.Response]:
        scope = scope or self._scope(method)
        for is_last in (False, True):
            ours = urlsplit(url).netloc == urlsplit(self.base).netloc
            mine = (
                {"Authorization": found} if ours and (found := self._authorisation(scope)) else {}
            )
            with self._following(method, url, headers | mine, content) as response:
                if response.status_code != 401 or is_last or not self._learn(response, scope):
                    yield response
                    return

    @contextlib.contextmanager
    def _following(
        self, method: str, url: str, headers: dict[str, str], content: bytes | None
    ) -> Iterator[httpx.Response]:
        """Follow where the registry sends us, without telling others who we are."""
        client = self._open()
        for _ in range(_REDIRECTS):
            with client.stream(method, url, headers=headers, content=content) as response:
                target = response.headers.get("Location")
                if (
                    response.status_code not in _MOVED
                    or not target
                    or method not in ("GET", "HEAD")
                ):
                    yield response
                    return
            before, url = urlsplit(url), urljoin(url, target)
            after = urlsplit(url)
            if after.scheme not in ("http", "https") or (before.scheme, after.scheme) == (
                "https",
                "http",
            ):
                raise ServiceError(f"the registry `{self._host}` sends us to `{after.scheme}://…`")
            if before.netloc != after.netloc:
                headers = {key: each for key, each in headers.items() if key != "Authorization"}
        raise ServiceError(f"the registry `{self._host}` sends us from one address to the next")

    def _check(self, response: httpx.Response, method: str, path: str, ok: tuple[int, ...]) -> None:
        status = response.status_code
        if status in ok:
            return
        words = f"{status} {response.reason_phrase}".strip()
        if status in _PASSING:
            raise Passing(f"it says {words}", _asked_pause(response))
        if method != "HEAD":
            words += _message(_body(response, _ANSWER))
        if status in (401, 403):
            known = "does not know who asks" if self._known is None else "does not allow that"
            raise Refused(
                f"the registry `{self._host}` {known}: {words}\n  at {self._shown(path)}",
                hint=f"`lamina login {self._host}`",
            )
        if status == 404:
            raise NotThere(f"`{self._reference.place}` has no `{path.rpartition('/')[2]}`: {words}")
        raise ServiceError(
            f"the registry `{self._host}` says {words}\n  at {method} {self._shown(path)}"
        )

    def _shown(self, path: str) -> str:
        return urlsplit(path).path

    def _scope(self, method: str) -> str:
        actions = "pull" if method in ("GET", "HEAD") else "pull,push"
        return f"repository:{self._reference.repository}:{actions}"

    def _authorisation(self, scope: str) -> str:
        if self._scheme == "basic" and self._known is not None:
            return _basic(self._known)
        token = self._tokens.get(scope)
        if self._scheme == "bearer" and token is None:
            token = self._fetch_token(scope)
        if token is not None and token.until < time.monotonic():
            token = self._fetch_token(scope)
        return f"Bearer {token.text}" if token is not None else ""

    def _learn(self, response: httpx.Response, scope: str) -> bool:
        """Find out how to tell who we are; whether there is something to tell."""
        with self._lock:
            if not self._has_asked:
                self._known = credentials.find(self._host)
                self._has_asked = True
        for challenge in response.headers.get_list("WWW-Authenticate"):
            scheme, _, rest = challenge.partition(" ")
            if scheme.lower() == "bearer":
                self._challenge = {key.lower(): each for key, each in _PARAMETER.findall(rest)}
                self._scheme = "bearer"
                self._tokens.pop(scope, None)
                return True
            if scheme.lower() == "basic" and self._known is not None and not self._known.is_token:
                self._scheme = "basic"
                return True
        return False

    def _fetch_token(self, scope: str) -> _Token:
        """Ask the server that the registry named; without a login it may give one to anybody."""
        realm = self._challenge.get("realm", "")
        parts = urlsplit(realm)
        is_safe = parts.scheme == "https" or parts.netloc == urlsplit(self.base).netloc
        is_safe = is_safe or Reference(parts.netloc, "x").is_local_host
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ServiceError(f"the registry `{self._host}` names no server for tokens: `{realm}`")
        known = self._known if is_safe else None
        service = {"service": found} if (found := self._challenge.get("service")) else {}
        fields = service | {"scope": scope, "client_id": "lamina"}

        def ask() -> _Token:
            import httpx

            client = self._open()
            try:
                if known is not None and known.is_token:
                    form = fields | {"grant_type": "refresh_token", "refresh_token": known.secret}
                    response = client.post(realm, data=form)
                else:
                    mine = {"Authorization": _basic(known)} if known is not None else {}
                    response = client.get(realm, params=fields, headers=mine)
            except (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError) as error:
                raise Passing(_words(error)) from error
            if response.status_code in _PASSING:
                raise Passing(f"it says {response.status_code}", _asked_pause(response))
            if response.status_code != 200:
                raise Refused(
                    f"the registry `{self._host}` gives no token: {response.status_code}"
                    f"{_message(response.content)}",
                    hint=f"`lamina login {self._host}`",
                )
            return _token(response)

        token = self.again(ask, f"token of {parts.netloc}")
        self._tokens[scope] = token
        return token

    def _open(self) -> httpx.Client:
        import httpx

        with self._lock:
            if self._client is None:
                timeout = httpx.Timeout(SILENCE, connect=CONNECT)
                # What is packed already must come as it is: its digest is of that.
                headers = {"User-Agent": "lamina", "Accept-Encoding": "identity"}
                try:
                    self._client = httpx.Client(
                        timeout=timeout,
                        headers=headers,
                        verify=self._trust() if self.base.startswith("https") else False,
                    )
                except (ImportError, ValueError, httpx.InvalidURL) as error:
                    # A proxy of a kind that httpx cannot speak to is told as a missing module.
                    raise HostError(f"cannot use the proxy: {error}") from error
            return self._client

    def _trust(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE") or None)
        folder = _CERTIFICATES / self._host
        files = [self._access.ca] if self._access.ca is not None else sorted(folder.glob("*.crt"))
        try:
            for file in files:
                context.load_verify_locations(file)
            for certificate in sorted(folder.glob("*.cert")):
                context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        except (OSError, ssl.SSLError) as error:
            named = ", ".join(map(str, files))
            raise HostError(f"cannot use the certificates `{named}`: {error}") from error
        return context


@dataclass(frozen=True, slots=True)
class Answer:
    """What a registry said."""

    status: int
    headers: httpx.Headers
    data: bytes


def _address(host: str) -> str:
    return "registry-1.docker.io" if host in ("docker.io", "index.docker.io") else host


def _body(response: httpx.Response, limit: int) -> bytes:
    """The content of an answer; raises IntegrityError where it has no end."""
    data = bytearray()
    for piece in response.iter_raw():
        data += piece
        if len(data) > limit:
            raise IntegrityError(f"the registry answers with more than {limit} bytes")
    return bytes(data)


def _message(data: bytes) -> str:
    """What an error answer says, for people."""
    import json

    try:
        first = json.loads(data)["errors"][0]
        return f": {first.get('message') or first.get('code')}"[:300]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return ""


def _token(response: httpx.Response) -> _Token:
    try:
        document = response.json()
        text = document.get("token") or document["access_token"]
        life = float(document.get("expires_in") or _TOKEN_LIFE)
        if not isinstance(text, str) or not text.isascii():
            raise TypeError("a text is wanted")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ServiceError("the server for tokens answers nonsense") from error
    return _Token(text, time.monotonic() + life * 0.8)


def _basic(known: Credentials) -> str:
    import base64

    text = base64.b64encode(f"{known.user}:{known.secret}".encode()).decode()
    return f"Basic {text}"


def _asked_pause(response: httpx.Response) -> float:
    """The seconds after which the registry wants to be asked again."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    if text:
        import email.utils

        with contextlib.suppress(ValueError, TypeError):
            return max(email.utils.parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    return 0.0


def _is_certificate(error: BaseException) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return "CERTIFICATE_VERIFY_FAILED" in str(error)


def _words(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text[:1].lower() + text[1:]
