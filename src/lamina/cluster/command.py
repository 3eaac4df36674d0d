"""The command that each task is: `lamina exec` with what the job asks for."""

from __future__ import annotations

from collections.abc import Sequence

from lamina.core.cluster import Cluster
from lamina.core.errors import UserError
from lamina.core.job import Job, mount_of
from lamina.node import report

REPORT = report.VARIABLE  # names the file in which `lamina exec` tells its times


def words(job: Job, cluster: Cluster, element: Sequence[str], *, limited: bool) -> list[str]:
    """What a task runs, without what a shell would do.

    With `limited` a container bounds what it takes of the machine; else the scheduler does.
    Raises UserError where the cluster allows no container and the job needs one.
    """
    found = [cluster.lamina, "exec", *access(cluster)]
    needs = bool(job.spec.mounts)
    if cluster.container == "never" and needs:
        raise UserError(
            f"the cluster `{cluster.name}` runs no containers, which mounts need",
            hint='`container = "auto"` in its settings',
        )
    if cluster.container == "always" or needs or (limited and cluster.container == "auto"):
        found += _container(job, limited=limited)
    return [*found, job.package, "--", *job.spec.arguments, *element]


def access(cluster: Cluster) -> list[str]:
    """How nodes reach the registry of a cluster."""
    found = ["--plain-http"] if cluster.plain_http else []
    return [*found, *(["--ca", cluster.ca] if cluster.ca else [])]


def _container(job: Job, *, limited: bool) -> list[str]:
    found = ["--contain", "--env", "*"]
    resources = job.spec.resources
    if limited and resources.memory:
        found += ["--memory", str(resources.memory)]
    if limited and resources.cpus:
        found += ["--cpus", str(resources.cpus)]
    for mount in job.spec.mounts:
        if mount_of(mount).is_claim:
            raise UserError(f"`{mount}` is a claim of Kubernetes", hint="`/folder:/where`")
        found += ["--volume", mount]
    return found
