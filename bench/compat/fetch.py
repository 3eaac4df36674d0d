"""Source packages: from apt, as this machine is set up for it, or from pip.

apt on most machines knows binary packages alone, so it is given a configuration of its own with the
same sites and `deb-src` in place of `deb`. Upstream's archive is taken, without a distribution's
changes to it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.compat.catalogue import Origin

_SITES = Path("/etc/apt")
_DEB = re.compile(r"^deb(?=[ \t])", re.MULTILINE)
_TYPES = re.compile(r"^Types:.*$", re.MULTILINE | re.IGNORECASE)
# `gflags_2.2.2.orig.tar.gz`, `labmaze-1.0.6.tar.gz`; not `gflags_2.2.2.orig-doc.tar.gz`, a part.
_ARCHIVE = re.compile(r".+?[_-](?P<version>\d.*?)(?:\.orig)?\.tar\.(?:gz|bz2|xz)")
_PART = re.compile(r"\.orig-[^.]+\.tar")


class NotFetched(Exception):
    """A source package cannot be had: which, and what was said."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """An unpacked source package."""

    folder: Path
    version: str


class Sources:
    """Source packages below a folder, fetched and unpacked when first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._archives = folder / "archives"
        self._apt: Path | None = None

    def get(self, name: str, origin: Origin) -> Fetched:
        """The unpacked source package of this name; raises NotFetched."""
        archives = self._archives / name
        if not _of(archives):
            archives.mkdir(parents=True, exist_ok=True)
            self._fetch(name, origin, archives)
        archive = _of(archives)
        if archive is None:
            raise NotFetched(f"{origin.value} has no archive of `{name}`")
        folder = self._folder / name
        if not folder.exists():
            unpack(archive, folder)
        return Fetched(folder, version(archive.name))

    def _fetch(self, name: str, origin: Origin, archives: Path) -> None:
        if origin is Origin.APT:
            self._fetch_by_apt(name, archives)
            return
        argv = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        argv += ["--no-binary", ":all:", name]
        done = subprocess.run(argv, cwd=archives, capture_output=True, text=True)
        if not _of(archives):
            raise NotFetched(f"`{' '.join(argv)}`: {done.stderr.strip()[-1000:]}")

    def _fetch_by_apt(self, name: str, archives: Path) -> None:
        """The first version that can be had: sites know more than they hold."""
        if self._apt is None:
            self._apt = _configuration(self._folder / "apt")
            _apt(["apt-get", "update", "--quiet"], self._apt, archives)
        known = _apt(["apt-cache", "showsrc", "--only-source", name], self._apt, archives)
        said = known.stderr
        for number in versions(known.stdout):
            argv = ["apt-get", "source", "--quiet", "--download-only", "--tar-only"]
            said = _apt([*argv, f"{name}={number}"], self._apt, archives).stderr
            if _of(archives):
                return
        raise NotFetched(f"`apt-get source {name}`: {said.strip()[-1000:]}")


def sources_of(text: str) -> str:
    """A file of apt that names sites, with their sources in place of their binary packages."""
    return _TYPES.sub("Types: deb-src", _DEB.sub("deb-src", text))


def versions(text: str) -> list[str]:
    """The versions that `apt-cache showsrc` tells of, in its order."""
    return list(dict.fromkeys(re.findall(r"^Version: *(\S+)", text, re.MULTILINE)))


def version(archive: str) -> str:
    """The version in the name of an archive."""
    found = _ARCHIVE.fullmatch(archive)
    return found["version"] if found else archive


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive as a folder, without the one folder that most archives hold."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        argv = ["tar", "--extract", "--no-same-owner", "--file", str(archive)]
        subprocess.run(argv, cwd=temporary, check=True)
        inside = list(Path(temporary).iterdir())
        whole = inside[0] if len(inside) == 1 and inside[0].is_dir() else Path(temporary)
        if whole == Path(temporary):
            whole = Path(temporary) / "whole"
            whole.mkdir()
            for path in inside:
                path.rename(whole / path.name)
        whole.rename(folder)


def _of(folder: Path) -> Path | None:
    """The archive in a folder: the first of those that are whole."""
    found = sorted(folder.glob("*.tar.*")) if folder.is_dir() else []
    names = (path for path in found if not _PART.search(path.name))
    return next((path for path in names if _ARCHIVE.fullmatch(path.name)), None)


def _configuration(folder: Path) -> Path:
    """Make a configuration of apt that knows the sources of the machine's sites."""
    for inside in ("sites", "lists/partial", "cache/archives/partial"):
        (folder / inside).mkdir(parents=True, exist_ok=True)
    for path in (_SITES / "sources.list", *sorted((_SITES / "sources.list.d").glob("*"))):
        if path.suffix in (".list", ".sources") and path.is_file():
            (folder / "sites" / path.name).write_text(sources_of(path.read_text()))
    configuration = folder / "apt.conf"
    configuration.write_text(
        f'Dir::Etc::SourceList "-";\n'
        f'Dir::Etc::SourceParts "{folder}/sites";\n'
        f'Dir::State::Lists "{folder}/lists";\n'
        f'Dir::Cache "{folder}/cache";\n'
        f'APT::Sandbox::User "root";\n'
    )
    return configuration


def _apt(argv: list[str], configuration: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "APT_CONFIG": str(configuration), "LC_ALL": "C"}
    return subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True)
