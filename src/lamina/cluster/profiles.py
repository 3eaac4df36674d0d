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
from collections.abc import Mapping
from pathlib import Path

from lamina.core import cluster
from lamina.core.cluster import Cluster
from lamina.core.errors import UserError
from lamina.formats import tomltext

MARKER = "lamina.toml"


def find(name: str, start: Path) -> Cluster:
    """The cluster of a name, as it is known in a folder; raises UserError."""
    known = every(start)
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name, known, 1)
    others = f"known: {', '.join(sorted(known))}; `[cluster.{name}]` in `{MARKER}` makes one"
    hint = f"did you mean `{close[0]}`?" if close else others
    raise UserError(f"there is no cluster `{name}`", hint=hint)


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
    wrong = cluster.faults(tables, text, "" if whole else "cluster.")
    if wrong:
        line, message = wrong[0]
        raise UserError(f"{path}:{line}: {message}")
    return {name: cluster.of_table(name, table) for name, table in tables.items()}
