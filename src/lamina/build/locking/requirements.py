"""What a lock is to be made of: files of requirements as pip reads them, and pyproject.toml.

https://pip.pypa.io/en/stable/reference/requirements-file-format
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    parse_sdist_filename,
    parse_wheel_filename,
)

from lamina.core.classes import dataclass, field
from lamina.core.errors import UserError
from lamina.formats import tomltext

_COMMENT = re.compile(r"(^|\s)#.*$")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_OWN_OPTION = re.compile(r"\s--(hash|config-settings?|global-option)[ =]")  # of one requirement
_ARCHIVE = re.compile(r"\.(whl|zip|tar\.gz|tgz)(#.*)?$", re.IGNORECASE)

# Settings of `[tool.uv]` that say where and how to look; the rest is about the project itself.
_LOOKING = (
    "index", "index-url", "extra-index-url", "find-links", "no-index", "index-strategy",
    "prerelease", "resolution", "exclude-newer",
)  # fmt: skip


@dataclass(slots=True)
class Wanted:
    """Requirements of several files, gathered."""

    requirements: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)
    looking: dict[str, Any] = field(default_factory=dict)  # settings of `[tool.uv]`
    files: list[Path] = field(default_factory=list)


def read(files: Iterable[Path], extras: Sequence[str] = (), groups: Sequence[str] = ()) -> Wanted:
    """What some files want; `extras` and `groups` are those of a pyproject.toml.

    Raises UserError that names the line at fault.
    """
    wanted = Wanted()
    for file in files:
        if file.suffix == ".toml":
            _read_project(file, wanted, extras, groups)
        else:
            _read_lines(file, wanted, wanted.requirements)
    return wanted


def _read_project(file: Path, wanted: Wanted, extras: Sequence[str], groups: Sequence[str]) -> None:
    wanted.files.append(file)
    try:
        document = tomltext.loads(_text(file))
    except tomltext.Fault as error:
        raise UserError(f"`{file}` is not TOML: {error}") from error
    try:
        project = _table(document, "project")
        wanted.requirements += _texts(project, "dependencies")
        for extra in extras:
            optional = _table(project, "optional-dependencies")
            _chosen(file, optional, extra, "extra")
            wanted.requirements += _texts(optional, extra)
        for group in groups:
            wanted.requirements += _group(file, _table(document, "dependency-groups"), group)
        uv = _table(_table(document, "tool"), "uv")
        wanted.looking |= {key: uv[key] for key in _LOOKING if key in uv}
        wanted.constraints += _texts(uv, "constraint-dependencies")
        wanted.overrides += _texts(uv, "override-dependencies")
    except TypeError as error:
        raise UserError(f"`{file}`: {error}") from error


def _table(above: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = above.get(name, {})
    if not isinstance(found, dict):
        raise TypeError(f"`{name}` is a table, not {found!r:.40}")
    return found


def _texts(table: Mapping[str, Any], name: str) -> list[str]:
    found = table.get(name, [])
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise TypeError(f"`{name}` is a list of strings, not {found!r:.40}")
    return found


def _chosen(file: Path, known: Mapping[str, Any], name: str, what: str) -> list[Any]:
    if name not in known:
        listed = ", ".join(f"`{each}`" for each in sorted(known)) or "none"
        raise UserError(f"`{file}` has no {what} `{name}`", hint=f"it has {listed}")
    if not isinstance(known[name], list):
        raise TypeError(f"the {what} `{name}` is a list, not {known[name]!r:.40}")
    return list(known[name])


def _group(
    file: Path, groups: Mapping[str, Any], name: str, above: tuple[str, ...] = ()
) -> list[str]:
    found: list[str] = []
    for entry in _chosen(file, groups, name, "group"):
        if isinstance(entry, str):
            found.append(entry)
        elif not isinstance(entry, dict) or not isinstance(entry.get("include-group"), str):
            raise TypeError(f"not an entry of the group `{name}`: {entry!r:.40}")
        elif (inner := entry["include-group"]) not in (*above, name):
            found += _group(file, groups, inner, (*above, name))
    return found


def _read_lines(file: Path, wanted: Wanted, into: list[str]) -> None:
    if file in wanted.files:
        return
    wanted.files.append(file)
    for number, line in _lines(_text(file)):
        try:
            _read_line(line, file, wanted, into)
        except (InvalidRequirement, ValueError) as error:
            raise UserError(f"`{file}:{number}`: not a requirement: `{line}`: {error}") from error
        except UserError as error:
            message = error.message
            message = message if message.startswith("`/") else f"`{file}:{number}`: {message}"
            raise UserError(message, hint=error.hint) from error


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UserError(f"cannot read requirements from `{file}`: {reason}") from error


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that say something, joined where one goes on, each with its number."""
    held, first = "", 0
    for number, raw in enumerate(text.splitlines(), start=1):
        first = first if held else number
        if raw.endswith("\\") and not raw.lstrip().startswith("#"):
            held += raw[:-1] + " "
            continue
        line = _COMMENT.sub("", held + raw).strip()
        held = ""
        if line:
            yield first, _VARIABLE.sub(lambda match: os.environ.get(match[1], match[0]), line)
    if held.strip():
        yield first, held.strip()


def _read_line(line: str, file: Path, wanted: Wanted, into: list[str]) -> None:
    if not line.startswith("-"):
        into.append(_requirement(_OWN_OPTION.split(line)[0].strip(), file.parent))
        return
    words = shlex.split(line)
    option, equals, value = words[0].partition("=")
    if not equals and option[1:2] != "-" and len(option) > 2:
        option, value = option[:2], option[2:]  # `-rother.txt`
    value = value or " ".join(words[1:])
    if option in ("-r", "--requirement", "--requirements"):
        _read_lines(file.parent / value, wanted, into)
    elif option in ("-c", "--constraint", "--constraints"):
        _read_lines(file.parent / value, wanted, wanted.constraints)
    elif option in ("-i", "--index-url", "--pypi-url"):
        wanted.looking["index-url"] = value
    elif option in ("--extra-index-url", "-f", "--find-links"):
        name = "find-links" if option in ("-f", "--find-links") else "extra-index-url"
        wanted.looking.setdefault(name, []).append(value)
    elif option == "--no-index":
        wanted.looking["no-index"] = True
    elif option == "--pre":
        wanted.looking["prerelease"] = "allow"
    elif option in ("-e", "--editable"):
        raise UserError(
            f"an editable requirement cannot be locked: `{value}`",
            hint="code of the workspace is a `python_library`; leave the line out",
        )
    elif option not in ("--prefer-binary", "--require-hashes", "--trusted-host", "--use-feature"):
        raise UserError(
            f"`{option}` is not known here", hint="`-r`, `-c`, `-i`, `-f`, `--pre` and the like are"
        )


def _requirement(text: str, folder: Path) -> str:
    """A requirement of PEP 508; an archive by its path or address is given the name it has."""
    found, semicolon, marker = text.partition(" ;")
    told, at, place = found.rpartition(" @ ")
    place = place.strip()
    is_file = bool(_ARCHIVE.search(place))
    if is_file and "://" not in place:
        place = (folder / place.removeprefix("file:")).resolve().as_uri()
    if at or not is_file:
        text = f"{told} @ {place} ;{marker}".removesuffix(" ;") if at else text
        Requirement(text)  # raises
        return text
    name = place.partition("#")[0].rpartition("/")[2]
    try:
        known = (parse_wheel_filename if name.endswith(".whl") else parse_sdist_filename)(name)[0]
    except (InvalidWheelFilename, InvalidSdistFilename) as error:
        raise UserError(f"`{name}` is not named as wheels and sdists are") from error
    return f"{known} @ {place}" + (f" ; {marker.strip()}" if semicolon else "")
