"""What is to be known of a build farm before it is asked: `[remote]` of `lamina.toml`, and flags.

[remote]
endpoint = "grpcs://farm.example:443"  # all services; `executor` names another for execution
instance = "main"
cache = "read-write"                   # or `read`, `off`
execution = true
platform = { OSFamily = "linux" }
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lamina.core import classes
from lamina.core.classes import dataclass, field, replace
from lamina.core.errors import UserError

_SCHEMES = ("grpc", "grpcs")
_ENDPOINT = re.compile(r"(grpcs?)://(\[[0-9a-fA-F:]+\]|[^\s/:\[\]]+):([0-9]{1,5})/?")
_LOOPBACK = re.compile(r"localhost|127\.[0-9.]+|\[::1\]")
CACHE = ("read", "read-write", "off")
DOWNLOADS = ("toplevel", "all")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where services are; `str()` gives `grpc://host:port`."""

    host: str
    port: int
    secure: bool = False  # TLS

    def __str__(self) -> str:
        return f"{'grpcs' if self.secure else 'grpc'}://{self.address}"

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"{self.host}:{self.port}"

    @property
    def is_here(self) -> bool:
        """Whether what is sent there leaves the machine."""
        return bool(_LOOPBACK.fullmatch(self.host))

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Read `grpc://host:port` or `grpcs://host:port`; raises UserError for anything else."""
        match = _ENDPOINT.fullmatch(text)
        if match is None or not 0 < int(match[3]) < 65536:
            raise UserError(
                f"not the address of a build farm: `{text}`",
                hint="write `grpc://host:port`, or `grpcs://host:port` for TLS",
            )
        return cls(match[2], int(match[3]), match[1] == "grpcs")


@dataclass(frozen=True, slots=True)
class Farm:
    """A build farm and how it is used. Files are as they were written: from the workspace's root.

    Neither what is sent as proof of who we are nor where it lies is part of any action.
    """

    endpoint: Endpoint | None = None  # of the cache, and of execution unless `executor` is set
    executor: Endpoint | None = None
    instance: str = ""
    cache: str = "read-write"
    execution: bool = False
    platform: tuple[tuple[str, str], ...] = ()  # sorted by name, then value
    fallback: bool = True  # what the farm does not do is done here
    jobs: int = 64  # actions that are looked up, or run there, at once
    timeout: float = 60.0  # seconds for one request with all its repetitions
    queue_timeout: float = 60.0  # seconds an action may wait there before it runs here
    race: bool = False  # what runs there for long runs here too, and the first result counts
    race_delay: float = 1000.0  # milliseconds until then
    retries: int = 5
    compression: bool = True
    download: str = "toplevel"  # or `all`: also what nothing here needs
    ca: str = ""
    certificate: str = ""
    key: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    token_file: str = ""
    token_env: str = ""  # the name of a variable
    credential_helper: str = ""
    root: Path = field(default=Path(), compare=False)

    @property
    def reads(self) -> bool:
        """Whether results are looked up there."""
        return self.endpoint is not None and self.cache != "off"

    @property
    def writes(self) -> bool:
        """Whether results from here are kept there."""
        return self.endpoint is not None and self.cache == "read-write"

    @property
    def executes(self) -> bool:
        """Whether actions run there."""
        return self.execution and (self.executor or self.endpoint) is not None

    @property
    def is_used(self) -> bool:
        """Whether there is anything to ask it."""
        return self.reads or self.executes

    @property
    def races(self) -> bool:
        """Whether actions run in both places."""
        return self.race and self.executes and self.fallback

    def file(self, name: str) -> Path:
        """Where a file that the settings name is."""
        return self.root / Path(name).expanduser()

    def checked(self) -> Farm:
        """The same, with all that follows; raises UserError for what cannot all hold."""
        if bool(self.certificate) != bool(self.key):
            raise UserError("`certificate` and `key` of `[remote]` belong together")
        if self.token_file and self.token_env:
            raise UserError("`[remote]` takes `token_file` or `token_env`, not both")
        for endpoint in {self.endpoint, self.executor} - {None}:
            assert endpoint is not None
            if not endpoint.secure and (self.ca or self.certificate):
                raise UserError(
                    f"certificates are of no use for `{endpoint}`", hint="TLS is `grpcs://`"
                )
            secrets = self.token_file or self.token_env or self.credential_helper
            if secrets and not (endpoint.secure or endpoint.is_here):
                raise UserError(
                    f"credentials would be sent in the open to `{endpoint}`",
                    hint="use `grpcs://`, or a proxy on this machine that speaks TLS",
                )
        return replace(self, endpoint=self.endpoint or self.executor)


Check = Callable[[Any], str]  # "" for a value that fits, else what is wanted


def _is(kind: type, words: str) -> Check:
    return lambda value: "" if type(value) is kind else words


def _one_of(*words: str) -> Check:
    wanted = " or ".join(f"`{word}`" for word in words)
    return lambda value: "" if value in words else wanted


def _endpoint(value: Any) -> str:
    try:
        Endpoint.parse(value if isinstance(value, str) else "")
    except UserError:
        return "`grpc://host:port` or `grpcs://host:port`"
    return ""


def _number(lowest: float, words: str, *, whole: bool = False) -> Check:
    kinds = (int,) if whole else (int, float)
    return lambda value: "" if type(value) in kinds and value >= lowest else words


def _table(value: Any) -> str:
    fits = isinstance(value, dict) and all(_texts(each) for each in value.values())
    return "" if fits else 'a table of strings: `{ name = "value" }`'


def _texts(value: Any) -> bool:
    """A string, or several for a name that counts more than once."""
    return isinstance(value, str) or (
        isinstance(value, list) and all(isinstance(each, str) for each in value)
    )


_TEXT, _FLAG = _is(str, "a string"), _is(bool, "`true` or `false`")
_SECONDS = _number(0.1, "a number of seconds")
_KEYS: Mapping[str, Check] = {
    "endpoint": _endpoint,
    "executor": _endpoint,
    "instance": _TEXT,
    "cache": _one_of(*CACHE),
    "execution": _FLAG,
    "platform": _table,
    "fallback": _FLAG,
    "jobs": _number(1, "a number from 1 upwards", whole=True),
    "timeout": _SECONDS,
    "queue_timeout": _SECONDS,
    "race": _FLAG,
    "race_delay": _number(0, "a number of milliseconds"),
    "retries": _number(0, "a number from 0 upwards", whole=True),
    "compression": _FLAG,
    "download": _one_of(*DOWNLOADS),
    "ca": _TEXT,
    "certificate": _TEXT,
    "key": _TEXT,
    "headers": _table,
    "token_file": _TEXT,
    "token_env": _TEXT,
    "credential_helper": _TEXT,
}
KEYS = tuple(_KEYS)
assert set(KEYS) == {*classes.names(Farm)} - {"root"}


def faults(table: object) -> Iterator[tuple[str, str]]:
    """What is wrong with `[remote]`: the key, "" for the section itself, and a message."""
    if not isinstance(table, dict):
        yield "", "`remote` is a table: write `[remote]`"
        return
    for key, value in table.items():
        if key not in _KEYS:
            yield key, f"unknown key `{key}` in `[remote]`"
        elif wanted := _KEYS[key](value):
            yield key, f"`{key}` in `[remote]` takes {wanted}"


def read(table: Mapping[str, Any], root: Path) -> Farm:
    """The farm of a `[remote]` without faults."""
    values = dict(table)
    for key in ("endpoint", "executor"):
        if key in values:
            values[key] = Endpoint.parse(values[key])
    for key in ("platform", "headers"):
        if key in values:
            values[key] = tuple(sorted(_pairs(values[key])))
    return replace(Farm(root=root), **values)


def _pairs(table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in table.items():
        for each in value if isinstance(value, list) else [value]:
            yield name, each
