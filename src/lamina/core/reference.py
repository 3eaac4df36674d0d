"""Where a package is: `host/repository:tag`, `…@sha256:…`, `oci:FOLDER[:tag]`, `oci-archive:FILE`.

The grammar of repositories and tags is that of the OCI distribution specification,
github.com/opencontainers/distribution-spec, "Pulling manifests". As with Docker, the first part of
a name is a host if it has a dot or a colon, or is `localhost`; nothing is a host by default.
"""

from __future__ import annotations

import re

from lamina.core.classes import dataclass, replace
from lamina.core.errors import UserError

LAYOUT, ARCHIVE = "oci:", "oci-archive:"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
_REPOSITORY = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*")
_HOST = r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?"
_DIGEST = r"sha256:[0-9a-f]{64}"
_LOCAL = r"(localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]+)?"
_HINT = (
    "a reference is `host/repository:tag`, `host/repository@sha256:…`, `oci:FOLDER[:tag]` "
    "or `oci-archive:FILE[:tag]`"
)


@dataclass(frozen=True, slots=True)
class Reference:
    """A repository, on a registry, in a folder or in a file, and what of it is meant."""

    host: str  # `registry.example:5000`; empty for a folder and a file
    repository: str  # `team/train`, or the path of the folder or file
    tag: str = ""
    digest: str = ""  # `sha256:…`, which counts where both are given
    is_archive: bool = False  # whether it is a file: a tar archive of a folder in OCI image layout

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.place}{tag}{digest}"

    @property
    def is_layout(self) -> bool:
        """Whether it is a folder in OCI image layout."""
        return not (self.host or self.is_archive)

    @property
    def place(self) -> str:
        """The repository for people, without tag and digest."""
        if self.host:
            return f"{self.host}/{self.repository}"
        return f"{ARCHIVE if self.is_archive else LAYOUT}{self.repository}"

    @property
    def wanted(self) -> str:
        """What a registry is asked for: the digest, else the tag, else `latest`."""
        return self.digest or self.tag or "latest"

    def at(self, digest: str) -> Reference:
        """The same repository at a digest, `sha256:…`."""
        return replace(self, tag="", digest=digest)

    @property
    def is_local_host(self) -> bool:
        """Whether the registry is on this machine, by its name: it may speak plain HTTP."""
        return re.fullmatch(_LOCAL, self.host) is not None


def is_remote(text: str) -> bool:
    """Whether a reference names a registry, a folder or a file, not a package of this store."""
    if text.startswith((LAYOUT, ARCHIVE)) or _is_file(text):
        return True
    first, slash, _ = text.partition("/")
    if first in (".", ".."):  # a file
        return False
    return bool(slash) and (first == "localhost" or "." in first or ":" in first or "[" in first)


def parse(text: str) -> Reference:
    """Read a reference; raises UserError that says what is wrong with it."""
    if text.startswith(LAYOUT):
        return _layout(text, LAYOUT)
    if text.startswith(ARCHIVE) or _is_file(text):
        return replace(_layout(text, ARCHIVE), is_archive=True)
    if not is_remote(text):
        raise UserError(f"`{text}` names no registry", hint=_HINT)
    host, _, rest = text.partition("/")
    rest, digest = _without_digest(rest, text)
    repository, _, tag = rest.partition(":")
    if not re.fullmatch(_HOST, host):
        raise UserError(f"`{host}` in `{text}` is no host", hint=_HINT)
    if not re.fullmatch(_REPOSITORY, repository):
        raise UserError(
            f"`{repository}` in `{text}` is no name of a repository",
            hint="it has lower-case letters, digits, `.`, `_`, `-` and `/`",
        )
    if ":" in rest:
        _check_tag(tag, text)
    return Reference(host, repository, tag, digest)


def repository_of(text: str) -> Reference:
    """Read a reference that names a repository alone; raises UserError."""
    found = parse(text)
    if found.tag or found.digest:
        raise UserError(f"`{text}` names one package, not a repository", hint=f"`{found.place}`")
    return found


def host_of(text: str) -> str:
    """Read the name of a registry, `host` or `host:port`; raises UserError."""
    if not re.fullmatch(_HOST, text):
        raise UserError(
            f"`{text}` is no host", hint="a registry is named as `registry.example:5000`"
        )
    return text


def repository_name(name: str) -> str:
    """The name of a package as one of a repository, which has lower-case letters only."""
    parts = (re.sub(r"[^a-z0-9]+", "-", part.lower()).strip("-") for part in name.split("/"))
    return "/".join(part for part in parts if part) or "package"


def _is_file(text: str) -> bool:
    """Whether it is the path of an archive, by its name."""
    return text.endswith(".tar") and "://" not in text


def _layout(text: str, prefix: str) -> Reference:
    rest, digest = _without_digest(text.removeprefix(prefix), text)
    folder, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        folder, tag = rest, ""
    elif not tag or not re.fullmatch(_TAG, tag):
        _check_tag(tag, text)
    if not folder:
        raise UserError(f"`{text}` names no place", hint=_HINT)
    return Reference("", folder, tag, digest)


def _without_digest(rest: str, text: str) -> tuple[str, str]:
    before, at, digest = rest.partition("@")
    if at and not re.fullmatch(_DIGEST, digest):
        raise UserError(f"`{digest}` in `{text}` is no digest", hint="`sha256:` and 64 hex digits")
    return before, digest


def _check_tag(tag: str, text: str) -> None:
    if not re.fullmatch(_TAG, tag):
        raise UserError(
            f"`{tag}` in `{text}` is no tag",
            hint="it has up to 128 letters, digits, `_`, `.` and `-`, and starts with none of the "
            "last two",
        )
