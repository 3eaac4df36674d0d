"""How a registry is told who asks: by user and password, or by a token of the server it names.

Specification: github.com/distribution/distribution, docs/spec/auth. What is known of the user
(`credentials`) is read only when a registry asks for it.
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlencode, urlsplit

from lamina.core.classes import dataclass
from lamina.core.errors import ServiceError
from lamina.core.reference import Reference
from lamina.store import credentials
from lamina.store.answers import Answer
from lamina.store.credentials import Credentials
from lamina.store.repository import Refused

_TOKEN_LIFE = 60  # seconds, where the server does not say
_PARAMETER = re.compile(r'([a-zA-Z_]+)=(?:"([^"]*)"|([^\s,"]+))')
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


# Asks a server, again where that may help: method, address, headers, content.
Ask = Callable[[str, str, Mapping[str, str], bytes | None], Answer]


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    until: float  # by time.monotonic()


class Authentication:
    """What one registry is told of who asks; safe to use from threads."""

    def __init__(
        self, host: str, ask: Ask, known: Credentials | None = None, plain_http: bool = False
    ) -> None:
        """`known` is taken in place of what this machine knows for the host.

        `plain_http`: the host itself may be told it without TLS.
        """
        self._host = host
        self._ask = ask
        self._known = known
        self._plain_http = plain_http
        self._is_known = known is not None
        self._scheme = ""  # once the registry has asked for one
        self._challenge: Mapping[str, str] = {}
        self._tokens: dict[str, _Token] = {}
        self._lock = threading.RLock()  # one asks for a token, all others wait for it

    @property
    def has_login(self) -> bool:
        """Whether the registry was told of a user."""
        return self._known is not None

    @property
    def was_asked(self) -> bool:
        """Whether the registry wants to know who asks."""
        return bool(self._scheme)

    def header(self, scope: str) -> str:
        """What the next request says of who asks; empty before the registry wants to know."""
        with self._lock:
            if self._scheme == "basic" and self._known is not None:
                return _basic(self._known)
            if self._scheme != "bearer":
                return ""
            token = self._tokens.get(scope)
            if token is None or token.until < time.monotonic():
                token = self._tokens[scope] = self._fetch_token(scope)
            return f"Bearer {token.text}"

    def learn(self, challenges: list[str], scope: str, said: str) -> bool:
        """Find out from a refusal what to say; whether that is another thing than was said."""
        with self._lock:
            if not self._is_known:
                self._known = credentials.find(self._host)
                self._is_known = True
            for scheme, fields in map(_challenge, challenges):
                if scheme == "bearer":
                    return self._learn_bearer(fields, scope, said)
                if scheme == "basic" and self._known is not None and not self._known.is_token:
                    self._scheme = "basic"
                    return said != _basic(self._known)
            return False

    def _learn_bearer(self, fields: Mapping[str, str], scope: str, said: str) -> bool:
        self._scheme, self._challenge = "bearer", fields
        token = self._tokens.get(scope)
        if token is not None and said == f"Bearer {token.text}":
            del self._tokens[scope]  # it has ended sooner than was told
        return True

    def _fetch_token(self, scope: str) -> _Token:
        """Ask the server that the registry named; without a login it may give one to anybody."""
        realm = self._challenge.get("realm", "")
        try:
            parts = urlsplit(realm)
            is_address = parts.scheme in ("http", "https") and bool(parts.hostname)
        except ValueError:
            is_address = False
        if not is_address or "@" in parts.netloc:
            raise ServiceError(f"the registry `{self._host}` names no server for tokens: `{realm}`")
        is_safe = (
            parts.scheme == "https"
            or Reference(parts.netloc, "").is_local_host
            or (self._plain_http and parts.netloc == self._host)
        )
        known = self._known if is_safe else None
        fields = [("scope", each) for each in scope.split(" ") if each]
        if service := self._challenge.get("service"):
            fields.insert(0, ("service", service))
        if known is not None and known.is_token:
            fields = [*fields, ("grant_type", "refresh_token"), ("refresh_token", known.secret)]
            # All scopes in one field, as the specification of this way has it.
            form = dict(fields) | {"scope": scope, "client_id": "lamina"}
            answer = self._ask("POST", realm, _FORM, urlencode(form).encode())
        else:
            mark = "&" if parts.query else "?"
            mine = {"Authorization": _basic(known)} if known is not None else {}
            answer = self._ask("GET", f"{realm}{mark}{urlencode(fields)}", mine, None)
        if answer.status != 200:
            raise Refused(
                f"the registry `{self._host}` gives no token: {answer.status}",
                hint=f"`lamina login {self._host}`",
            )
        return _token(answer.data)


def _challenge(text: str) -> tuple[str, dict[str, str]]:
    """The scheme in lower case, and its parameters, of a field `WWW-Authenticate`."""
    scheme, _, rest = text.partition(" ")
    found = _PARAMETER.findall(rest)
    return scheme.lower(), {name.lower(): quoted or plain for name, quoted, plain in found}


def _token(data: bytes) -> _Token:
    try:
        document = json.loads(data)
        text = document.get("token") or document["access_token"]
        life = float(document.get("expires_in") or _TOKEN_LIFE)
        if not isinstance(text, str) or not (text.isascii() and text.isprintable()):
            raise TypeError("a text is wanted")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ServiceError("the server for tokens answers nonsense") from error
    return _Token(text, time.monotonic() + life * 0.8)


def _basic(known: Credentials) -> str:
    text = base64.b64encode(f"{known.user}:{known.secret}".encode()).decode()
    return f"Basic {text}"
