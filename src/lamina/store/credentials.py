"""Who we are to a registry: what Docker's configuration and credential helpers know.

`$DOCKER_CONFIG/config.json`, by default `~/.docker/config.json`: `credHelpers` and `credsStore`
name programs, `auths` holds what has no program. After it podman's and skopeo's files of the same
form are read; `REGISTRY_AUTH_FILE` names the only file that counts. The helpers' protocol is that
of github.com/docker/docker-credential-helpers.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lamina.core.classes import dataclass
from lamina.core.errors import HostError, UserError
from lamina.linux import filesystem, process

_TOKEN_USER = "<token>"  # how a helper says that the secret is an identity token
_NOT_FOUND = "credentials not found"  # how it says that it knows nothing
_HUB, _HUB_KEY = ("docker.io", "index.docker.io", "registry-1.docker.io"), "docker.io"
_HUB_ENTRY = "https://index.docker.io/v1/"  # what Docker calls that one in its files


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
    """What is known for a registry; raises UserError for a file that is malformed, HostError."""
    for path in _paths():
        config = _read(path)
        helper = _helper(config, host, path)
        found = _ask(helper, host, path) if helper else None
        found = found or _from_auths(config, host, path)
        if found is not None:
            return found
    return None


def keep(host: str, known: Credentials) -> str:
    """Keep a login; where, for people. Raises UserError or HostError where it cannot be kept."""
    path = _paths()[0]
    with _changing(path) as config:
        helper = _helper(config, host, path)
        if helper:
            user = known.user or _TOKEN_USER
            document = {"ServerURL": _entry(host), "Username": user, "Secret": known.secret}
            _call(helper, "store", json.dumps(document), path)
            return f"docker-credential-{helper}"
        auths = config.setdefault("auths", {})
        for key in [key for key in auths if _host_of(key) == _alias(host)]:
            del auths[key]
        text = base64.b64encode(f"{known.user}:{known.secret}".encode()).decode()
        auths[_entry(host)] = {"auth": text}
    return str(path)


def forget(host: str) -> bool:
    """Forget a login; whether there was one."""
    path = _paths()[0]
    was = False
    with _changing(path) as config:
        helper = _helper(config, host, path)
        if helper and _ask(helper, host, path) is not None:
            _call(helper, "erase", _entry(host), path)
            was = True
        auths = config.get("auths", {})
        for key in [key for key in auths if _host_of(key) == _alias(host)]:
            del auths[key]
            was = True
    return was


def _paths() -> list[Path]:
    """The files that tell, the first of which is written."""
    only = os.environ.get("REGISTRY_AUTH_FILE")
    if only:
        return [Path(only)]
    home = Path.home()
    docker = Path(os.environ.get("DOCKER_CONFIG") or home / ".docker") / "config.json"
    own = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "containers/auth.json"
    session = os.environ.get("XDG_RUNTIME_DIR")
    return [docker, *([Path(session) / "containers/auth.json"] if session else []), own]


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
        if not isinstance(found, dict) or not isinstance(found.get("auths", {}), dict):
            raise ValueError("objects are wanted")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise UserError(f"cannot read `{path}`: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"`{path}` is malformed: {error}", hint="Docker reads it too") from error
    return found


@contextlib.contextmanager
def _changing(path: Path) -> Iterator[dict[str, Any]]:
    """What a file says, written back where it was changed; one process at a time does that."""
    path = path.resolve()  # it may be a link to where its owner keeps such files
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise HostError(f"cannot write `{path}`: {error.strerror}") from error
    try:
        filesystem.lock(folder)
        config = _read(path)
        before = json.dumps(config)
        yield config
        if json.dumps(config) != before:
            data = json.dumps(config, indent="\t").encode() + b"\n"
            try:
                filesystem.write_atomic(path, data, mode=0o600, durable=True)
            except OSError as error:
                raise HostError(f"cannot write `{path}`: {error.strerror}") from error
    finally:
        os.close(folder)


def _helper(config: dict[str, Any], host: str, path: Path) -> str:
    helpers = config.get("credHelpers")
    one = (helpers.get(host) or helpers.get(_entry(host))) if isinstance(helpers, dict) else None
    found = one or config.get("credsStore") or ""
    if not isinstance(found, str) or "/" in found:
        raise UserError(f"`{path}`: `{found}` names no credential helper")
    return found


def _from_auths(config: dict[str, Any], host: str, path: Path) -> Credentials | None:
    auths = config.get("auths", {})
    # Who is written exactly as we ask comes before whole addresses, which older programs wrote.
    for key in sorted(auths, key=lambda key: key != host):
        if _host_of(key) != _alias(host) or not isinstance(auths[key], dict):
            continue
        found = _from_entry(auths[key], host, path)
        if found is not None:
            return found
    return None


def _from_entry(entry: dict[str, Any], host: str, path: Path) -> Credentials | None:
    if token := entry.get("identitytoken"):
        return Credentials("", str(token))
    if not entry.get("auth"):
        user, secret = entry.get("username"), entry.get("password")
        return Credentials(str(user), str(secret)) if user and secret else None
    try:
        text = base64.b64decode(entry["auth"], validate=True).decode()
    except (binascii.Error, ValueError, TypeError) as error:
        raise UserError(
            f"`{path}`: the login for `{host}` is malformed", hint=f"`lamina login {host}`"
        ) from error
    user, colon, secret = text.partition(":")
    return Credentials(user, secret.rstrip("\0")) if user and colon else None


def _host_of(key: str) -> str:
    """The host that an entry is for; old ones are whole addresses."""
    place = key.removeprefix("https://").removeprefix("http://")
    host, _, rest = place.partition("/")
    # podman's `host/team` is for a part of a registry alone.
    return _alias(host) if place != key or rest in ("", "v1", "v2", "v1/", "v2/") else key


def _alias(host: str) -> str:
    return _HUB_KEY if host in _HUB else host


def _entry(host: str) -> str:
    return _HUB_ENTRY if host in _HUB else host


def _ask(helper: str, host: str, path: Path) -> Credentials | None:
    answer = _call(helper, "get", _entry(host), path)
    if answer is None:
        return None
    try:
        document = json.loads(answer)
        user, secret = str(document["Username"]), str(document["Secret"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise HostError(f"`docker-credential-{helper}` answers nonsense") from error
    if not secret:
        return None
    return Credentials("" if user == _TOKEN_USER else user, secret)


def _call(helper: str, word: str, text: str, path: Path) -> str | None:
    """What a helper answers; None where it knows nothing."""
    name = f"docker-credential-{helper}"
    program = process.find(name)
    if program is None:
        raise HostError(
            f"`{path}` names the program `{name}`, which is not there",
            hint="install it, or take it out of that file",
        )
    done = process.run(program, word, input=text.encode(), ok=range(256))
    said = done.stdout.decode(errors="replace").strip()
    if done.returncode == 0:
        return said
    if _NOT_FOUND in said.lower():
        return None
    words = said or done.stderr.decode(errors="replace").strip()
    raise HostError(f"`{name} {word}` failed: {words}")
