"""The build farm of a command: what `[remote]` of `lamina.toml` and the flags say together."""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lamina.core.errors import LaminaError, UserError

if TYPE_CHECKING:
    from lamina.build.remote import Remote
    from lamina.build.workspace import Workspace
    from lamina.cli.session import Session
    from lamina.core.digest import Digest
    from lamina.store.remote.service import Service
    from lamina.store.remote.settings import Farm

# Flags without a value, and the word that stands for each.
_SWITCHES: Mapping[tuple[str, ...], tuple[str, str]] = {
    ("--remote",): ("remote", "use the farm that `[remote]` in `lamina.toml` names, or fail"),
    ("--no-remote", "--local-only"): ("no-remote", "use no build farm"),
    ("--remote-fallback", "--remote-local-fallback"): (
        "fallback=true", "do here what the farm does not do (default)",
    ),
    ("--no-remote-fallback", "--noremote-local-fallback"): (
        "fallback=false", "fail where the farm does",
    ),
    ("--remote-race",): (
        "race=true", "run here too what the farm has not done after a while; the first result wins",
    ),
    ("--no-remote-race",): ("race=false", "run everything in one place (default)"),
    ("--remote-upload-local-results",): ("cache=read-write", "keep there what was made here"),
    ("--noremote-upload-local-results", "--no-remote-upload-local-results"): (
        "cache=read", "only look results up",
    ),
    ("--remote-download-all",): ("download=all", "bring all outputs here"),
    ("--remote-download-toplevel",): (
        "download=toplevel", "bring only what is asked for, or needed here (default)",
    ),
}  # fmt: skip
# Flags with a value: the key of `[remote]`, what it is, and what it is for.
_VALUES: Mapping[tuple[str, ...], tuple[str, str, str]] = {
    ("--remote-cache",): ("endpoint", "URL", "`grpc://host:port` or `grpcs://host:port`"),
    ("--remote-executor",): ("executor", "URL", "the same, and actions run there"),
    ("--remote-instance-name",): ("instance", "NAME", "which of several farms it is"),
    ("--remote-default-exec-properties",): (
        "platform", "NAME=VALUE", "a property of the workers",
    ),
    ("--remote-header",): ("headers", "NAME=VALUE", "sent with each request"),
    ("--remote-timeout",): ("timeout", "SECONDS", "for one request (default: 60)"),
    ("--remote-jobs",): ("jobs", "N", "actions looked up or run there at once (default: 64)"),
    ("--remote-race-delay", "--experimental-local-execution-delay"): (
        "race_delay", "MS", "milliseconds until it runs here too (default: 1000)",
    ),
    ("--remote-retries",): ("retries", "N", "of a request that failed (default: 5)"),
    ("--remote-download-outputs",): ("download", "toplevel|all", "the same in one flag"),
    ("--tls-certificate",): ("ca", "FILE", "the authorities that are trusted"),
    ("--tls-client-certificate",): ("certificate", "FILE", "that is shown to the farm"),
    ("--tls-client-key",): ("key", "FILE", "of that certificate"),
    ("--credential-helper",): ("credential_helper", "PROGRAM", "which tells who you are"),
}  # fmt: skip
_NAMED = (
    "`endpoint` in `[remote]` of `lamina.toml`, or `--remote-cache`, names one, as"
    " `grpcs://host:port`"
)
_PATIENCE = 2.0  # seconds
_TABLES = ("platform", "headers")


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of a build farm; `remote` becomes the list of them, each as `key=value`."""
    group = parser.add_argument_group("build farm (docs/remote.md)")
    group.set_defaults(remote=())
    for names, (word, text) in _SWITCHES.items():
        group.add_argument(*names, action=_Flag, nargs=0, const=word, dest="remote", help=text)
    for names, (key, metavar, text) in _VALUES.items():
        group.add_argument(
            *names, action=_Flag, const=key, dest="remote", metavar=metavar, help=text
        )


class _Flag(argparse.Action):
    """Keeps flags in the order of the command line."""

    def __call__(
        self,
        _parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        _option: str | None = None,
    ) -> None:
        word = f"{self.const}={values}" if isinstance(values, str) else str(self.const)
        namespace.remote = (*namespace.remote, word)


def settings(words: Sequence[str], workspace: Workspace) -> Farm | None:
    """The farm to use; None for none. Raises UserError for what cannot be."""
    from lamina.store.remote import settings as remote  # `lamina exec` has no farm, and starts fast

    farm = remote.read(workspace.remote, workspace.root)
    for word in words:
        key, _, value = word.partition("=")
        if key not in ("remote", "no-remote"):
            farm = _with(farm, key, value)
    chosen = [word for word in words if word in ("remote", "no-remote")]
    if chosen[-1:] == ["no-remote"]:
        return None
    farm = farm.checked()
    if chosen and not farm.is_used:
        raise UserError(
            "there is no build farm to use",
            hint=_NAMED,
        )
    return farm if farm.is_used else None


def _with(farm: Farm, key: str, value: str) -> Farm:
    from lamina.core.classes import replace
    from lamina.store.remote.settings import KEYS, Endpoint, faults

    assert key in KEYS, key
    if key in ("endpoint", "executor"):
        found: Any = Endpoint.parse(value) if value else None
        if key == "executor":
            return replace(farm, executor=found, execution=found is not None)
        return replace(farm, endpoint=found)
    if key in _TABLES:
        name, equals, text = value.partition("=")
        if not name or not equals:
            raise UserError(f"`{_flag(key)}` takes `name=value`, not `{value}`")
        found = tuple(sorted({*getattr(farm, key), (name, text)}))
        return replace(farm, **{key: found})
    found = _VALUE.get(key, str)(value)
    for _, message in faults({key: found}):
        told = message.replace(f"`{key}` in `[remote]`", f"`{_flag(key)}`")
        raise UserError(f"{told}, not `{value}`")
    return replace(farm, **{key: found})


def _number(text: str) -> Any:
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError:
        return text


_VALUE: Mapping[str, Callable[[str], Any]] = {
    "fallback": lambda text: text == "true",
    "race": lambda text: text == "true",
    "race_delay": _number,
    "timeout": _number,
    "jobs": _number,
    "retries": _number,
}


def _flag(key: str) -> str:
    return next(names[0] for names, (known, _, _) in _VALUES.items() if known == key)


def enter(session: Session) -> Remote | None:
    """Ask the farm what it can do, and let a session use it; None for none.

    Raises what `Service.check` raises.
    """
    found = settings(session.options.remote, session.workspace)
    if found is None:
        return None
    from lamina.build.remote import Remote
    from lamina.store.remote.service import Service

    if session.farm is None:
        session.farm = Service(found, session.store)
    service = session.farm
    service.check()
    session.store.upstream = service
    return Remote(service)


def reader(session: Session) -> Callable[[Digest], bytes]:
    """What reads blobs of the session's farm; raises UserError for one that it does not have."""
    from lamina.store.blobs import BlobMissing

    if enter(session) is None:
        raise UserError("there is no build farm to ask", hint=_NAMED)
    service = session.farm
    assert service is not None

    def read(digest: Digest) -> bytes:
        try:
            return service.cas.read(digest)
        except BlobMissing:
            raise UserError(
                f"the build farm has no blob `{digest}`",
                hint='builds with `cache = "read-write"` keep there what actions are made of',
            ) from None

    return read


def leave(service: Service, session: Session, error: BaseException | None) -> None:
    """Let what was made here arrive in the farm, and tell what it did not do."""
    if error is not None and not isinstance(error, LaminaError):
        return  # whoever interrupts a build does not want to wait
    from lamina.cli import output

    with session.logbook.phase("sending"):
        service.close()
    session.store.upstream = None
    _await_threads()
    for failure in service.failures:
        output.warning(f"{failure}; it was done without")


def _await_threads() -> None:
    """Let the threads of gRPC end: who enters a namespace after this must have one alone."""
    until = time.monotonic() + _PATIENCE
    while len(os.listdir("/proc/self/task")) > threading.active_count():  # noqa: PTH208
        if time.monotonic() > until:
            return
        time.sleep(0.001)
