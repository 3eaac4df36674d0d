"""From a target to a package where a cluster's nodes find it, with the time each step takes."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from lamina.cli import output
from lamina.core.classes import dataclass, replace
from lamina.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.cli.pipeline import Packaged
    from lamina.cli.session import Session
    from lamina.cluster.launcher import Launcher
    from lamina.core.cluster import Cluster
    from lamina.core.manifest import Package
    from lamina.core.reference import Reference
    from lamina.packaging.publish import Pushed

    Early = Callable[["Shipped"], None]


@dataclass(frozen=True, slots=True)
class Shipped:
    """A package that a cluster can run."""

    reference: str  # by digest
    seconds: Mapping[str, float]  # of each step
    # `blobs`, `bytes`: that the registry did not have; `carried`: letters that each node is sent
    sent: Mapping[str, int]
    ended: float  # seconds since the epoch
    entry_point: tuple[str, ...] = ()  # of an image
    carried: str = ""  # what of it can travel with a job


def ship(
    session: Session,
    args: argparse.Namespace,
    launcher: Launcher,
    binary: str,
    *,
    begun: float,
    push: bool,
    early: Early | None = None,
) -> Shipped:
    """Package a program, and push it where the cluster's settings say.

    `begun` is when somebody asked for that. Without `push` the reference is what it would be.
    `early` is called before the push where nodes that are sent what is `carried` can begin, or wait
    for the rest. The push may fail after it, or begin anew with another package.
    """
    from lamina.cli import pipeline

    cluster = launcher.cluster
    if cluster.launcher == "kubernetes":
        return _ship_image(session, args, cluster, binary, begun=begun, push=push)
    target, order = binary, pipeline.Order(program=True)
    if cluster.registry and push:

        def send(made: Packaged) -> Shipped:
            return _send(session, args, cluster, made, begun, early)

        return pipeline.sent(session, target, order, send)[1]
    made = pipeline.package(session, target, order)
    built = time.time()
    if not args.quiet:
        output.note(made.summary())
    if not cluster.registry:
        if cluster.launcher != "local":
            raise _no_registry(cluster, "; `oci:FOLDER` where all nodes see that")
        reference = f"{made.package.name}@{made.digest.oci}"
        return Shipped(reference, {"build": built - begun}, {}, built)
    from lamina.packaging import publish

    place = _place(cluster, made.package)
    found = str(replace(place, digest=made.digest.oci))
    carried = ""
    if _carries(cluster):
        told = publish.planned(made.digest, session.store, place)
        carried = publish.carried(made.package, told, session.store)
    return Shipped(found, {"build": built - begun}, {}, built, carried=carried)


def _send(
    session: Session,
    args: argparse.Namespace,
    cluster: Cluster,
    made: Packaged,
    begun: float,
    early: Early | None,
) -> Shipped:
    from lamina.cli.moving import Progress
    from lamina.cli.repositories import opened
    from lamina.packaging import publish

    built = time.time()
    if not args.quiet:
        output.note(made.summary())
    place = _place(cluster, made.package)
    args.plain_http, args.ca = cluster.plain_http, cluster.ca or None
    names = {layer.blob: layer.name for layer in made.package.layers}
    shipped: Shipped | None = None

    def told(sent: Pushed) -> Shipped:
        carried = publish.carried(made.package, sent, session.store) if _carries(cluster) else ""
        ended = time.time()
        return Shipped(
            str(replace(place, digest=made.digest.oci)),
            {"build": built - begun, "push": ended - built},
            {"blobs": sent.blobs, "bytes": sent.size, "carried": len(carried)},
            ended,
            carried=carried,
        )

    def soon(sent: Pushed) -> None:
        nonlocal shipped
        if early is not None and (found := told(sent)).carried:
            early(found)
            shipped = found

    with opened(place, args) as repository, Progress("pushing", names) as progress:
        sent = publish.push(
            made.digest, session.store, repository, made.package.version,
            planned=progress.planned, moved=progress.moved, early=soon, decoded=session.packages,
        )  # fmt: skip
    shipped = shipped or told(sent)
    if not args.quiet:
        output.note(f"pushed {output.plural(sent.blobs, 'blob')}, {output.size(sent.size)}")
    return shipped


def _carries(cluster: Cluster) -> bool:
    """Whether jobs of a cluster may bring what is new themselves."""
    return cluster.launcher != "local" and cluster.transfer == "auto"


def _ship_image(
    session: Session,
    args: argparse.Namespace,
    cluster: Cluster,
    binary: str,
    *,
    begun: float,
    push: bool,
) -> Shipped:
    """The same for clusters whose nodes run images."""
    from lamina.cli import imaging
    from lamina.cli.moving import Progress
    from lamina.cli.repositories import opened

    if not cluster.registry:
        raise _no_registry(cluster, "")
    made = imaging.make(session, binary, cluster)
    built = time.time()
    package = made.packaged.package
    if not args.quiet:
        output.note(made.packaged.summary())
    place = _place(cluster, package)
    found = str(replace(place, digest=made.digest.oci))
    entry_point = made.image.entry_point if made.has_base else ()  # for a shell, which needs one
    if not push:
        return Shipped(found, {"build": built - begun}, {}, built, entry_point)
    args.plain_http, args.ca = cluster.plain_http, cluster.ca or None
    with opened(place, args) as repository, Progress("pushing") as progress:
        sent = imaging.send(session, made.image, repository, package.version, progress)
    ended = time.time()
    if not args.quiet:
        output.note(f"pushed {output.plural(sent.blobs, 'blob')}, {output.size(sent.size)}")
    seconds = {"build": built - begun, "push": ended - built}
    return Shipped(found, seconds, {"blobs": sent.blobs, "bytes": sent.size}, ended, entry_point)


def _place(cluster: Cluster, package: Package) -> Reference:
    """Where a package lies in the registry of a cluster."""
    from lamina.core import reference

    name = reference.repository_name(package.name)
    return reference.repository_of(f"{cluster.registry.rstrip('/')}/{name}")


def _no_registry(cluster: Cluster, more: str) -> UserError:
    return UserError(
        f"the cluster `{cluster.name}` has no registry for packages",
        hint=f'`registry = "host/repository"` in `[cluster.{cluster.name}]` of `lamina.toml`, '
        f"or `--registry`{more}",
    )
