"""Who we are to a registry: what Docker's configuration and credential helpers know.

`$DOCKER_CONFIG/config.json`, by default `~/.docker/config.json`: `credHelpers` and `credsStore`
name programs, `auths` holds what has no program. The helpers' protocol is that of
github.com/docker/docker-credential-helpers.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lamina.core.errors import HostError, UserError
from lamina.linux import filesystem, process

_TOKEN_USER = "<token>"  # how a helper says that the secret is an identity token
_HUB, _HUB_KEY = ("docker.io", "index.docker.io", "registry-1.docker.io"), "docker.io"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user with a password, or an identity token alone."""

    user: str
    secret: str

    @property
    def is_token(self) -> bool:
        """Whether the secret is a token that other tokens are asked for with."""
        return not self.user

    def __repr__(self) -> str:
        return f"Credentials({self.user!r}, …)"


def find(host: str) -> Credentials | None:
    """What is known for a registry; raises UserError for a configuration that is malformed."""
    config = _read()
    helper = _helper(config, host)
    if helper:
        found = _ask(helper, "get", host)
        if found is not None:
            return found
    return _from_auths(config, host)


def keep(host: str, known: Credentials) -> str:
    """Keep a login; where, for people. Raises UserError or HostError where it cannot be kept."""
    config = _read()
    helper = _helper(config, host)
    if helper:
        document = {"ServerURL": host, "Username": known.user, "Secret": known.secret}
        _call(helper, "store", json.dumps(document))
        return f"docker-credential-{helper}"
    text = base64.b64encode(f"{known.user}:{known.secret}".encode()).decode()
    config.setdefault("auths", {})[host] = {"auth": text}
    _write(config)
    return str(_path())


def forget(host: str) -> bool:
    """Forget a login; whether there was one."""
    config = _read()
    was = find(host) is not None
    helper = _helper(config, host)
    if helper and was:
        _call(helper, "erase", host)
    auths = config.get("auths", {})
    keys = [key for key in auths if _host_of(key) == host]
    for key in keys:
        del auths[key]
    if keys:
        _write(config)
    return was


def _path() -> Path:
    folder = os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker"
    return Path(folder) / "config.json"


def _read() -> dict[str, Any]:
    path = _path()
    try:
        found = json.loads(path.read_bytes())
        if not isinstance(found, dict):
            raise ValueError("an object is wanted")
    except FileNotFoundError:
        return {}
    except PermissionError as error:
        raise UserError(f"cannot read `{path}`: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"`{path}` is no JSON: {error}", hint="Docker reads it too") from error
    return found


def _write(config: dict[str, Any]) -> None:
    path = _path()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        data = json.dumps(config, indent="\t").encode() + b"\n"
        filesystem.write_atomic(path, data, mode=0o600, durable=True)
    except OSError as error:
        raise HostError(f"cannot write `{path}`: {error.strerror}") from error


def _helper(config: dict[str, Any], host: str) -> str:
    helpers = config.get("credHelpers")
    one = helpers.get(host) if isinstance(helpers, dict) else None
    found = one or config.get("credsStore") or ""
    if not isinstance(found, str) or "/" in found:
        raise UserError(f"`{_path()}`: `{found}` names no credential helper")
    return found


def _from_auths(config: dict[str, Any], host: str) -> Credentials | None:
    auths = config.get("auths")
    for key, entry in auths.items() if isinstance(auths, dict) else ():
        if _host_of(key) != _alias(host) or not isinstance(entry, dict):
            continue
        if token := entry.get("identitytoken"):
            return Credentials("", str(token))
        if not entry.get("auth"):
            continue
        try:
            user, colon, secret = (
                base64.b64decode(entry["auth"], validate=True).decode().partition(":")
            )
        except (binascii.Error, ValueError, TypeError) as error:
            raise UserError(
                f"`{_path()}`: the login for `{host}` is malformed", hint=f"`lamina login {host}`"
            ) from error
        if colon:
            return Credentials(user, secret.rstrip("\0"))
    return None


def _host_of(key: str) -> str:
    """The host that an entry is for; old ones are whole addresses."""
    return _alias(key.removeprefix("https://").removeprefix("http://").partition("/")[0])


def _alias(host: str) -> str:
    return _HUB_KEY if host in _HUB else host


def _ask(helper: str, word: str, host: str) -> Credentials | None:
    answer = _call(helper, word, host, may_fail=True)
    if answer is None:
        return None
    try:
        document = json.loads(answer)
        user, secret = str(document["Username"]), str(document["Secret"])
    except (ValueError, KeyError, TypeError) as error:
        raise HostError(f"`docker-credential-{helper}` answers nonsense") from error
    return Credentials("" if user == _TOKEN_USER else user, secret)


def _call(helper: str, word: str, text: str, *, may_fail: bool = False) -> str | None:
    name = f"docker-credential-{helper}"
    program = shutil.which(name)
    if program is None:
        raise HostError(
            f"`{_path()}` names the program `{name}`, which is not there",
            hint="install it, or take it out of that file",
        )
    done = process.run(Path(program), word, input=text.encode(), ok=range(256))
    if done.returncode != 0:
        if may_fail:
            return None
        words = done.stdout.decode(errors="replace").strip()
        raise HostError(f"`{name} {word}` failed: {words}")
    return done.stdout.decode(errors="replace")
