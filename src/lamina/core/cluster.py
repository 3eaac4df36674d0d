"""A cluster as settings describe it, and what is wrong with such settings."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from lamina.core.classes import dataclass, names

PROGRAM = "lamina"
LAUNCHERS = ("local", "slurm", "kubernetes")  # that come with lamina
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "transfer": ("pull", "broadcast", "auto"),
    "container": ("always", "never", "auto"),
}


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
    lamina: str = PROGRAM  # on the nodes
    store: str = ""  # on each node
    logs: str = ""  # folder that all nodes see, for what tasks print
    transfer: str = "auto"  # how layers come to nodes: `pull`, `broadcast`, `auto`
    context: str = ""  # of kubectl's settings
    image: str = ""  # that programs for Kubernetes lie on: a reference by digest, or a path
    service_account: str = ""
    options: tuple[str, ...] = ()  # further ones of `sbatch`
    prefer_warm: bool = False  # whether jobs prefer nodes that a label says have most of them
    container: str = "auto"  # whether tasks run in containers: `always`, `never`, `auto`
    plain_http: bool = False  # whether the registry has no TLS
    ca: str = ""  # certificates that the registry is trusted by


def of_table(name: str, table: Mapping[str, object]) -> Cluster:
    """The cluster that a table without faults describes."""
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
    kinds = {each: Cluster.__annotations__[each] for each in names(Cluster) if each != "name"}
    if key not in kinds:
        close = difflib.get_close_matches(key, kinds, 1)
        return f"unknown key `{key}`" + (f" (did you mean `{close[0]}`?)" if close else "")
    kind = kinds[key]
    if kind == "bool":
        return "" if isinstance(value, bool) else f"`{key}` takes true or false"
    if kind == "str":
        if not isinstance(value, str):
            return f"`{key}` takes a string"
        choices = _CHOICES.get(key, (value,))
        return "" if value in choices else f"`{key}` takes {', '.join(f'`{c}`' for c in choices)}"
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
