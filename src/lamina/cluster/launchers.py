"""Finds the launcher of a cluster: one of ours, or one that an installed distribution brings."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from lamina.cluster import profiles
from lamina.cluster.records import Record
from lamina.core.cluster import Cluster
from lamina.core.errors import UserError

if TYPE_CHECKING:
    from lamina.cluster.launcher import Launcher

_GROUP = "lamina.launchers"
_OURS = {
    "local": ("lamina.cluster.local", "LocalLauncher"),
    "slurm": ("lamina.cluster.slurm", "SlurmLauncher"),
    "kubernetes": ("lamina.cluster.kubernetes", "KubernetesLauncher"),
}


def of(cluster: Cluster) -> Launcher:
    """The launcher of a cluster; raises UserError where nobody brings it."""
    if cluster.launcher in _OURS:
        module, name = _OURS[cluster.launcher]
        return cast("Launcher", getattr(import_module(module), name)(cluster))
    from importlib import metadata

    for found in metadata.entry_points(group=_GROUP, name=cluster.launcher):
        try:
            return cast("Launcher", found.load()(cluster))
        except (ImportError, AttributeError) as error:
            raise UserError(
                f"the launcher `{cluster.launcher}` cannot be loaded: {error}",
                hint=f"`{found.value}` in the entry point group `{_GROUP}`",
            ) from error
    known = [*_OURS, *(each.name for each in metadata.entry_points(group=_GROUP))]
    raise UserError(
        f"there is no launcher `{cluster.launcher}`", hint=f"known: {', '.join(sorted(known))}"
    )


def of_record(record: Record) -> Launcher:
    """The launcher that a job was sent by, with the settings of that time."""
    return of(cluster_of(record))


def cluster_of(record: Record) -> Cluster:
    """The cluster that a job was sent to, as it was described then."""
    values = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in record.settings.items()
    }
    return Cluster(**{**values, "name": record.cluster})  # type: ignore[arg-type]


def named(name: str, folder: Path) -> Launcher:
    """The launcher of the cluster that is called so in a folder."""
    return of(profiles.find(name, folder))
