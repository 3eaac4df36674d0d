"""Clusters as `lamina.toml` describes them: `[cluster.NAME]`.

    [cluster.prod]
    launcher = "slurm"
    registry = "registry.site:5000/team"
    partition = "gpu"

Those of the user, in `$XDG_CONFIG_HOME/lamina/clusters.toml` (`[NAME]`), are there outside of a
workspace too. `local` and `slurm` are always there, without any settings.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from lamina.core.errors import UserError
from lamina.formats import tomltext

LAUNCHERS = ("local", "slurm", "kubernetes")  # that come with lamina
MARKER = "lamina.toml"
_TRANSFERS = ("pull", "broadcast", "auto")


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where jobs run, and how; what is empty is the launcher's usual."""

    name: str
    launcher: str
    registry: str = ""  # packages go below it: `host/repository`, or `oci:FOLDER`
    partition: str = ""  # of Slurm; the namespace of Kubernetes
    account: str = ""
    qos: str = ""
    constraint: str = ""
    lamina: str = "lamina"  # the program on the nodes
    store: str = ""  # on each node
    logs: str = ""  # folder that all nodes see, for what tasks print
    transfer: str = "auto"  # how layers come to nodes: `pull`, `broadcast`, `auto`
    context: str = ""  # of kubectl's settings
    image: str = ""  # that packages for Kubernetes lie on, by digest
    service_account: str = ""
    options: tuple[str, ...] = ()  # further ones of `sbatch`
    contained: bool = False  # whether tasks run in containers
    plain_http: bool = False  # whether the registry has no TLS
    ca: str = ""  # certificates that the registry is trusted by


def find(name: str, start: Path) -> Cluster:
    """The cluster of a name, as it is known in a folder; raises UserError."""
    known = every(start)
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean `{close[0]}`?" if close else f"known: {', '.join(sorted(known))}"
    raise UserError(f"there is no cluster `{name}`", hint=f"{hint}; `[cluster.{name}]` makes one")


def every(start: Path) -> Mapping[str, Cluster]:
    """All clusters that are known in a folder, by name. Raises UserError for wrong settings."""
    found = {name: Cluster(name, name) for name in ("local", "slurm", "kubernetes")}
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    found |= _of(config / "lamina" / "clusters.toml", whole=True)
    start = start.absolute()
    for folder in (start, *start.parents):
        if (folder / MARKER).is_file():
            found |= _of(folder / MARKER, whole=False)
            break
    return found


def _of(path: Path, *, whole: bool) -> dict[str, Cluster]:
    try:
        text = path.read_text(encoding="utf-8")
        settings = tomltext.loads(text)
    except FileNotFoundError:
        return {}
    except (tomltext.Fault, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {error}") from error
    tables = settings if whole else settings.get("cluster", {})
    wrong = faults(tables, text, "" if whole else "cluster.")
    if wrong:
        line, message = wrong[0]
        raise UserError(f"{path}:{line}: {message}")
    return {name: _cluster(name, table) for name, table in tables.items()}


def _cluster(name: str, table: Mapping[str, object]) -> Cluster:
    values = {key: tuple(each) if isinstance(each, list) else each for key, each in table.items()}
    return Cluster(name=name, **values)  # type: ignore[arg-type]


def faults(tables: object, text: str, prefix: str = "cluster.") -> list[tuple[int, str]]:
    """What is wrong in the tables of clusters: the line in a text, and what to say."""
    if not isinstance(tables, dict):
        return [(_line(text, prefix.rstrip(".")), "clusters are tables: `[cluster.NAME]`")]
    found = []
    for name, table in tables.items():
        place = f"{prefix}{name}"
        if not isinstance(table, dict):
            found.append((_line(text, place), f"a cluster is a table: `[{place}]`"))
            continue
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
            found.append((_line(text, place), f"`{name}` is no name of a cluster"))
        if "launcher" not in table:
            known = ", ".join(f"`{each}`" for each in LAUNCHERS)
            found.append((_line(text, place), f"`[{place}]` has no `launcher`: {known}"))
        for key, value in table.items():
            if message := _wrong(key, value):
                found.append((_line(text, place, key), f"{message} in `[{place}]`"))
    return found


def _wrong(key: str, value: object) -> str:
    kinds = {each.name: each.type for each in fields(Cluster) if each.name != "name"}
    if key not in kinds:
        close = difflib.get_close_matches(key, kinds, 1)
        return f"unknown key `{key}`" + (f" (did you mean `{close[0]}`?)" if close else "")
    kind = kinds[key]
    if kind == "bool":
        return "" if isinstance(value, bool) else f"`{key}` takes true or false"
    if kind == "str":
        if not isinstance(value, str):
            return f"`{key}` takes a string"
        if key == "transfer" and value not in _TRANSFERS:
            return f"`{key}` takes {', '.join(f'`{each}`' for each in _TRANSFERS)}"
        return ""
    is_list = isinstance(value, list) and all(isinstance(each, str) for each in value)
    return "" if is_list else f"`{key}` takes a list of strings"


def _line(text: str, table: str, key: str = "") -> int:
    """The line that begins a table, or sets a key of it; tomllib keeps no places."""
    current, begin = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[\s*([^\]]*?)\s*\]", line):
            current = header[1].replace('"', "")
            if current == table:
                begin = number
        elif current == table and key and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
            return number
    return begin or 1
