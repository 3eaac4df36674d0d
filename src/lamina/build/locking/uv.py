"""Resolves requirements with uv, and reads what it found.

uv is given a project that has the requirements as its dependencies; its own lock of that project
tells which distribution needs which, and under which conditions. The project lies in a folder of
its own, so that nothing of the user's is written.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from lamina.build.locking import indexes, reach
from lamina.build.locking.requirements import Wanted
from lamina.core.classes import dataclass, replace
from lamina.core.errors import HostError, UserError
from lamina.formats.pylock import Archive, Distribution, toml
from lamina.linux import filesystem, process

_PROJECT = "lamina-lock"
_BUILDS = "builds"  # the group of what makes wheels of sdists
_NOWHERE = "https://index.invalid/simple"  # uv does not ask where a version that it may keep was


@dataclass(frozen=True, slots=True)
class Request:
    """What uv is asked for."""

    wanted: Wanted
    python: Path  # the interpreter that is locked for
    requires_python: str
    environments: tuple[str, ...] = ()
    keep: tuple[Distribution, ...] = ()  # versions to keep, where they are good enough
    upgrade: tuple[str, ...] = ()  # but not of these
    builds: tuple[str, ...] = ()  # requirements of what makes wheels of sdists


def program() -> Path:
    """Where uv lies; raises HostError where it is not there."""
    found = process.find("uv") or process.beside_python("uv")
    if found is None:
        raise HostError(
            "the tool `uv` is not on this machine", hint=f"`{process.install('lock')}` brings it"
        )
    return found


def resolve(
    request: Request, folder: Path, base: Path, outer: Mapping[str, str]
) -> list[Distribution]:
    """The distributions that meet a request.

    `folder` is empty, and free to write to; archives that lie below `base`, the folder of the lock,
    are named from there. Raises UserError with uv's words where nothing meets it.
    """
    (folder / "pyproject.toml").write_text(_project(request), encoding="utf-8")
    if request.keep:
        (folder / "uv.lock").write_text(_preferred(request), encoding="utf-8")
    upgrade = [word for name in request.upgrade for word in ("--upgrade-package", name)]
    done = process.run(
        program(), "lock", "--project", folder,
        "--python", request.python, "--no-python-downloads",
        "--no-progress", "--color", "never", *upgrade,
        cwd=folder, env=indexes.environment(outer), ok=(0, 1, 2),
    )  # fmt: skip
    if done.returncode != 0:
        raise UserError(_words(done.stderr.decode(errors="replace")))
    return _read((folder / "uv.lock").read_text(encoding="utf-8"), folder, base)


def _words(text: str) -> str:
    """What uv says of its failure, without what it says of its project."""
    lines = [line for line in text.splitlines() if not line.startswith(("Using ", "warning: "))]
    said = "\n".join(lines).strip().replace("your project", "what is asked for")
    return f"uv cannot resolve the requirements:\n{said}".replace(
        f"{_PROJECT} depends", "it depends"
    )


def _project(request: Request) -> str:
    """The pyproject.toml of the project that uv locks."""
    wanted = request.wanted
    lines = [
        "[project]",
        f"name = {toml(_PROJECT)}",
        'version = "0"',
        f"requires-python = {toml(request.requires_python)}",
        f"dependencies = {toml(wanted.requirements)}",
        "[dependency-groups]",
        f"{_BUILDS} = {toml(request.builds)}",
        "[tool.uv]",
        "package = false",
    ]
    settings: dict[str, Any] = {
        "environments": list(request.environments),
        "constraint-dependencies": wanted.constraints,
        "override-dependencies": wanted.overrides,
        **wanted.looking,
    }
    lines += [f"{key} = {toml(value)}" for key, value in settings.items() if value]
    return "\n".join(lines) + "\n"


def _preferred(request: Request) -> str:
    """A lock of uv's that says nothing but which versions there were."""
    lines = ["version = 1", f"requires-python = {toml(request.requires_python)}"]
    names = [each.name for each in request.keep]
    for each in request.keep:
        lines += ["[[package]]", f"name = {toml(each.name)}", f"version = {toml(each.version)}"]
        lines.append(f"source = {{ registry = {toml(_NOWHERE)} }}")
        if names.count(each.name) > 1:
            lines.append(f"resolution-markers = {toml([each.marker])}")
    return "\n".join(lines) + "\n"


def _read(text: str, folder: Path, base: Path) -> list[Distribution]:
    """The distributions of a lock of uv's."""
    packages = tomllib.loads(text)["package"]
    names = [package["name"] for package in packages]
    several = {name for name in names if names.count(name) > 1}
    reader = _Reader(folder, base, several)
    root = next(package for package in packages if package["name"] == _PROJECT)
    found = [reader.distribution(each) for each in packages if each is not root]
    wanted = [*root.get("dependencies", ()), *root.get("dev-dependencies", {}).get(_BUILDS, ())]
    needed = [reader.requirement(entry) for entry in wanted]
    markers = reach.markers(needed, found)
    return [replace(each, marker=markers.get((each.name, each.version), "")) for each in found]


class _Reader:
    """Reads the tables of a lock of uv's."""

    def __init__(self, folder: Path, base: Path, several: set[str]) -> None:
        self._folder = folder
        self._base = base
        self._several = several  # names that have more than one version

    def distribution(self, package: Mapping[str, Any]) -> Distribution:
        name, source = package["name"], package["source"]
        for kind in ("git", "directory", "editable", "virtual"):
            if kind in source:
                raise UserError(
                    f"`{name}` comes from a {kind}, which no digest of a wheel or sdist tells",
                    hint="name a released version, or a wheel or sdist by its address",
                )
        sdist = package.get("sdist")
        wheels = [self._archive(each, source) for each in package.get("wheels", ())]
        return Distribution(
            name,
            package.get("version", ""),
            tuple(sorted(wheels, key=lambda archive: archive.name)),
            None if sdist is None else self._archive(sdist, source),
            requires=self._requirements(package.get("dependencies", ())),
            extras={
                extra: self._requirements(entries)
                for extra, entries in sorted(package.get("optional-dependencies", {}).items())
            },
        )

    def _requirements(self, entries: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(map(self.requirement, entries)))

    def requirement(self, entry: Mapping[str, Any]) -> str:
        """A dependency as PEP 508 writes it."""
        name = entry["name"]
        extras: Sequence[str] = entry.get("extra", ())
        version = f"=={entry['version']}" if name in self._several and "version" in entry else ""
        marker = f" ; {entry['marker']}" if "marker" in entry else ""
        chosen = f"[{','.join(extras)}]" if extras else ""
        return f"{name}{chosen}{version}{marker}"

    def _archive(self, table: Mapping[str, Any], source: Mapping[str, str]) -> Archive:
        kind, _, told = table.get("hash", "").partition(":")
        digest, size = told if kind == "sha256" else "", table.get("size")
        place = table.get("url") or table.get("path") or source.get("url") or source.get("path", "")
        parts = urlsplit(place)
        if parts.scheme in ("http", "https"):
            if not digest:
                hint = "another index may tell it"
                raise UserError(f"`{place}` has no sha256 in its index", hint=hint)
            return Archive(place, digest, size)
        file = self._folder.resolve() / (unquote(parts.path) if parts.scheme == "file" else place)
        whole = Path(os.path.normpath(file))
        digest = digest or _digest(whole)  # a folder of archives tells none
        if whole.is_relative_to(self._base):
            return Archive(whole.relative_to(self._base).as_posix(), digest, size, local=True)
        return Archive(whole.as_uri(), digest, size)


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def scratch_project(scratch: Path) -> Path:
    """An empty folder for a project."""
    folder = scratch / "lock"
    filesystem.remove_tree(folder)
    folder.mkdir(parents=True)
    return folder
