"""Lock files of Python distributions: pylock.toml, bytes and values.

https://packaging.python.org/specifications/pylock-toml

The standard has all that an installer needs, but not under which conditions one distribution needs
another, nor its extras: that is in the table `tool.lamina`, which other tools pass by. Requirements
there are those of PEP 508, pinned where the lock has several versions.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from lamina.core.classes import dataclass, field
from lamina.core.errors import UserError
from lamina.formats import tomltext

_SHA256 = re.compile(r"[0-9a-f]{64}")
_TOOL = "lamina"


@dataclass(frozen=True, slots=True)
class Archive:
    """A wheel or an sdist, by address or by path from the folder of the lock file."""

    place: str
    sha256: str
    size: int | None = None
    local: bool = False  # whether the place is a path

    @property
    def name(self) -> str:
        """Its file name."""
        path = self.place if self.local else unquote(urlsplit(self.place).path)
        return posixpath.basename(path)


@dataclass(frozen=True, slots=True)
class Distribution:
    """One version of one distribution."""

    name: str  # normalised
    version: str
    wheels: tuple[Archive, ...] = ()
    sdist: Archive | None = None
    marker: str = ""  # where it is needed at all
    requires: tuple[str, ...] = ()
    extras: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # what each adds
    builds_with: tuple[str, ...] = ()  # what making a wheel of the sdist needs


@dataclass(frozen=True, slots=True)
class Settings:
    """What a lock was asked for."""

    inputs: tuple[str, ...] = ()  # files of requirements, from the folder of the lock
    python_version: str = ""
    platforms: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()  # of a pyproject.toml
    groups: tuple[str, ...] = ()  # of a pyproject.toml


@dataclass(frozen=True, slots=True)
class Lock:
    """A whole lock, distributions by name and version."""

    distributions: tuple[Distribution, ...]
    requires_python: str = ""
    environments: tuple[str, ...] = ()
    settings: Settings = Settings()


def decode(text: str) -> Lock:
    """Read a lock; raises UserError with what is wrong in it."""
    try:
        document = tomltext.loads(text)
    except tomltext.Fault as error:
        raise UserError(f"not TOML: {error}") from error
    version = document.get("lock-version")
    if not isinstance(version, str) or version.partition(".")[0] != "1":
        raise UserError(
            f"not a lock file of version 1: `lock-version` is {version!r}",
            hint="`lamina lock` writes one",
        )
    try:
        return _lock(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"`{error.args[0]}` is missing" if isinstance(error, KeyError) else str(error)
        raise UserError(f"not a lock file as the standard has it: {what}") from error


def read(file: Path) -> Lock | None:
    """The lock in a file, None where there is none; raises UserError that names it."""
    try:
        return decode(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise UserError(f"`{file}` is not UTF-8 text") from error
    except UserError as error:
        raise UserError(f"`{file}`: {error.message}", hint=error.hint) from error


def _lock(document: Mapping[str, Any]) -> Lock:
    settings = document.get("tool", {}).get(_TOOL, {})
    return Lock(
        tuple(_distribution(table) for table in document.get("packages", ())),
        _text(document, "requires-python"),
        _texts(document, "environments"),
        Settings(
            _texts(settings, "inputs"),
            _text(settings, "python-version"),
            _texts(settings, "platforms"),
            _texts(settings, "extras"),
            _texts(settings, "groups"),
        ),
    )


def _text(table: Mapping[str, Any], key: str) -> str:
    value = table.get(key, "")
    if not isinstance(value, str):
        raise TypeError(f"`{key}` is a string, not {value!r:.40}")
    return value


def _texts(table: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise TypeError(f"`{key}` is a list of strings, not {value!r:.40}")
    return tuple(value)


def _distribution(table: Mapping[str, Any]) -> Distribution:
    name = _text({"name": table["name"]}, "name")
    for kind in ("vcs", "directory", "archive"):
        if kind in table:
            raise UserError(
                f"`{name}` is locked as a {kind}, which has no digest of a wheel or an sdist",
                hint="name a released version, or a wheel or sdist by its address",
            )
    tool = table.get("tool", {}).get(_TOOL)
    if tool is None:
        tool = {"requires": [_needed(entry) for entry in table.get("dependencies", ())]}
    extras = tool.get("extras", {})
    return Distribution(
        name,
        _text(table, "version"),
        tuple(_archive(name, each) for each in table.get("wheels", ())),
        _archive(name, table["sdist"]) if "sdist" in table else None,
        _text(table, "marker"),
        _texts(tool, "requires"),
        {extra: _texts(extras, extra) for extra, _ in extras.items()},
        _texts(tool, "builds-with"),
    )


def _needed(entry: Mapping[str, Any]) -> str:
    name, version = _text(entry, "name") or entry["name"], _text(entry, "version")
    return f"{name}=={version}" if version else name


def _archive(name: str, table: Mapping[str, Any]) -> Archive:
    sha256 = _text(table["hashes"], "sha256").lower()
    if not _SHA256.fullmatch(sha256):
        raise UserError(
            f"an archive of `{name}` has no sha256", hint="`lamina lock` writes one for each"
        )
    size = table.get("size")
    if size is not None and (not isinstance(size, int) or size < 0):
        raise TypeError(f"`size` is a number of bytes, not {size!r:.40}")
    url = _text(table, "url")
    if not (url or _text(table, "path")):
        raise KeyError("url")
    return Archive(url or table["path"], sha256, size, not url)


def encode(lock: Lock) -> str:
    """Write a lock: the same lock always gives the same text."""
    lines = ['lock-version = "1.0"']
    if lock.environments:
        lines.append(f"environments = {_value(lock.environments)}")
    if lock.requires_python:
        lines.append(f"requires-python = {_value(lock.requires_python)}")
    lines.append('created-by = "lamina"')
    for each in sorted(lock.distributions, key=lambda found: (found.name, found.version)):
        lines += ["", "[[packages]]", *_lines_of(each)]
    lines += ["", f"[tool.{_TOOL}]", *_lines_of_settings(lock.settings)]
    return "\n".join(lines) + "\n"


def _lines_of(found: Distribution) -> Iterable[str]:
    yield f"name = {_value(found.name)}"
    if found.version:
        yield f"version = {_value(found.version)}"
    if found.marker:
        yield f"marker = {_value(found.marker)}"
    if names := _named([*found.requires, *(each for x in found.extras.values() for each in x)]):
        yield "dependencies = " + _value(names)
    if found.sdist is not None:
        yield f"sdist = {_value(_table_of(found.sdist))}"
    if found.wheels:
        yield "wheels = ["
        yield from (f"    {_value(_table_of(each))}," for each in found.wheels)
        yield "]"
    yield f"[packages.tool.{_TOOL}]"
    yield f"requires = {_value(found.requires)}"
    if found.extras:
        yield f"extras = {_value(found.extras)}"
    if found.builds_with:
        yield f"builds-with = {_value(found.builds_with)}"


def _lines_of_settings(settings: Settings) -> Iterable[str]:
    yield f"inputs = {_value(settings.inputs)}"
    if settings.python_version:
        yield f"python-version = {_value(settings.python_version)}"
    for name in ("platforms", "extras", "groups"):
        if words := getattr(settings, name):
            yield f"{name} = {_value(words)}"


def _named(requirements: Iterable[str]) -> tuple[Mapping[str, str], ...]:
    """The entries that some pinned requirements name, as the standard writes them."""
    found: dict[tuple[str, str], Mapping[str, str]] = {}
    for text in requirements:
        match = re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?(?:==([^\s;]+))?", text)
        assert match is not None, text
        name, version = match[1], match[2] or ""
        found[name, version] = {"name": name} | ({"version": version} if version else {})
    return tuple(found[key] for key in sorted(found))


def _table_of(archive: Archive) -> Mapping[str, Any]:
    size = {} if archive.size is None else {"size": archive.size}
    where = "path" if archive.local else "url"
    name = {"name": archive.name} if archive.local else {}
    return {**name, where: archive.place, **size, "hashes": {"sha256": archive.sha256}}


def _value(value: Any) -> str:
    """A value as TOML writes it on one line; its strings are JSON's."""
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(key)} = {_value(each)}" for key, each in value.items())
        return f"{{ {inner} }}"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, int):
        return str(value)
    return f"[{', '.join(map(_value, value))}]"


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _value(key)


toml = _value
