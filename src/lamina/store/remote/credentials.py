"""Who we are to a build farm: a token, or what a credential helper says.

The helper is called as Bazel calls it (EngFlow's specification, github.com/EngFlow/
credential-helper-spec): `helper get` reads `{"uri": …}` and prints `{"headers": {name: [value…]},
"expires": …}`.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from datetime import datetime
from pathlib import Path

from lamina.core.errors import HostError, UserError
from lamina.linux import process
from lamina.store.remote.settings import Endpoint, Farm

_GOOD_FOR = 1800.0  # seconds that an answer without an end is believed
_EARLY = 30.0  # seconds before its end that another is asked for

Headers = tuple[tuple[str, str], ...]


class Credentials:
    """The headers that prove who we are, asked for when they are needed. Safe for threads."""

    def __init__(self, farm: Farm, endpoint: Endpoint) -> None:
        self._farm = farm
        self._uri = f"https://{endpoint.address}"
        self._lock = threading.Lock()
        self._known: Headers | None = None
        self._until = 0.0

    def headers(self) -> Headers:
        """What goes with each request; raises UserError or HostError where there is nothing."""
        with self._lock:
            if self._known is None or time.time() >= self._until:
                self._known, self._until = self._ask()
            return self._known

    def renew(self, refused: Headers) -> bool:
        """Whether there are others in place of those that were refused."""
        with self._lock:
            if self._known == refused:
                self._known = None
        return self.headers() != refused

    def _ask(self) -> tuple[Headers, float]:
        farm, forever = self._farm, float("inf")
        found = [(name.lower(), value) for name, value in farm.headers]
        if farm.token_file or farm.token_env:
            return (*found, ("authorization", f"Bearer {self._token()}")), forever
        if farm.credential_helper:
            more, until = self._help()
            return (*found, *more), until
        return tuple(found), forever

    def _token(self) -> str:
        farm = self._farm
        if farm.token_env:
            token, place = os.environ.get(farm.token_env, ""), f"the variable `{farm.token_env}`"
        else:
            path = farm.file(farm.token_file)
            try:
                token, place = path.read_text(encoding="utf-8"), f"`{path}`"
            except (OSError, UnicodeDecodeError) as error:
                raise UserError(f"cannot read the token of the build farm: {error}") from error
        token = token.strip()
        if not token or not token.isascii() or not token.isprintable():
            raise UserError(f"there is no token for the build farm in {place}")
        return token

    def _help(self) -> tuple[Headers, float]:
        program = self._program()
        done = process.run(
            program, "get", cwd=self._farm.root, input=json.dumps({"uri": self._uri}).encode()
        )
        try:
            answer = json.loads(done.stdout)
            headers = answer.get("headers", {})
            found = [(name.lower(), str(each)) for name in headers for each in headers[name]]
            ends = answer.get("expires")
            until = datetime.fromisoformat(ends).timestamp() - _EARLY if ends else None
        except (ValueError, AttributeError, TypeError) as error:
            raise HostError(
                f"the credential helper `{program}` gave no answer that makes sense",
                hint='it prints `{"headers": {"Authorization": ["Bearer …"]}}`',
            ) from error
        return tuple(found), time.time() + _GOOD_FOR if until is None else until

    def _program(self) -> Path:
        name = self._farm.credential_helper.replace("%workspace%", str(self._farm.root))
        found = shutil.which(name) if "/" not in name else str(self._farm.file(name))
        if found is None or not os.access(found, os.X_OK):
            raise UserError(f"there is no credential helper `{name}`")
        return Path(found)
