"""Where distributions are looked for: as the user has set it for uv, else for pip."""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from pathlib import Path

# What pip calls its settings -> what uv does. pip knows no order between indexes: it takes the best
# of all of them.
_SETTINGS = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
}
_OF_UV = (
    "UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS",
    "UV_INDEX_STRATEGY",
)  # fmt: skip
# Of the user's own project: they would keep uv from making a lock.
_OF_PROJECTS = ("UV_FROZEN", "UV_LOCKED", "UV_PROJECT", "UV_PYTHON", "UV_WORKING_DIRECTORY")
_SECTIONS = ("global", "install", "lock")


def environment(outer: Mapping[str, str]) -> dict[str, str]:
    """The environment for uv: what pip is set to look at counts where nothing is set for uv."""
    found = {name: value for name, value in outer.items() if name not in _OF_PROJECTS}
    if any(name in outer for name in _OF_UV):
        return found
    settings = pip_settings(outer)
    for name, variable in _SETTINGS.items():
        if value := settings.get(name, ""):
            # uv parts places to look at for archives by commas, pip by spaces.
            found.setdefault(variable, ",".join(value.split()) if "LINKS" in variable else value)
    if "UV_INDEX" in found or "UV_FIND_LINKS" in found:
        found["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return found


def asks_no_index(outer: Mapping[str, str]) -> bool:
    """Whether pip is set to look at no index, which uv has no variable for."""
    if any(name in outer for name in _OF_UV):
        return False
    return pip_settings(outer).get("no-index", "").lower() in ("1", "true", "yes", "on")


def pip_settings(outer: Mapping[str, str]) -> dict[str, str]:
    """The settings of pip: those of its files, the nearest to the user winning, then variables."""
    found: dict[str, str] = {}
    for file in _files(outer):
        found |= _read(file)
    for name in (*_SETTINGS, "constraint", "no-index"):
        value = outer.get(f"PIP_{name.upper().replace('-', '_')}", "")
        if value:
            found[name] = value
    return {name: " ".join(value.split()) for name, value in found.items()}


def _files(outer: Mapping[str, str]) -> list[Path]:
    named = outer.get("PIP_CONFIG_FILE", "")
    if named == os.devnull:
        return []
    home = Path(outer.get("HOME", "/"))
    config = Path(outer.get("XDG_CONFIG_HOME", "") or home / ".config")
    shared = (outer.get("XDG_CONFIG_DIRS", "") or "/etc/xdg").split(":")
    files = [Path(folder) / "pip" / "pip.conf" for folder in reversed(shared)]
    files += [Path("/etc/pip.conf"), home / ".pip" / "pip.conf", config / "pip" / "pip.conf"]
    if outer.get("VIRTUAL_ENV"):
        files.append(Path(outer["VIRTUAL_ENV"]) / "pip.conf")
    return [*files, Path(named)] if named else files


def _read(file: Path) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read(file, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        return {}  # pip itself tells of it
    sections = [section for section in _SECTIONS if parser.has_section(section)]
    return {
        key.replace("_", "-"): value for section in sections for key, value in parser.items(section)
    }
