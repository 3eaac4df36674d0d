"""`lamina prefetch`: let the nodes of a cluster have a package before a job needs it."""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.cli import arguments, jobs, output, repositories
from lamina.cluster import command
from lamina.core.errors import ServiceError
from lamina.core.reference import is_remote

if TYPE_CHECKING:
    from lamina.cluster.launcher import Caching, Fetched


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "what", metavar="TARGET|REF",
        help="a target, which is packaged and pushed, or the reference of a package",
    )  # fmt: skip
    arguments.complete_labels(parser)
    jobs.add_cluster(parser)
    parser.add_argument("--registry", metavar="REPO", default="", help="where to push a target")
    arguments.add_unpack(parser)
    repositories.add_access(parser)
    arguments.add_build(parser)
    arguments.add_grouping(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Pull on every node that is up, each once, and tell what came."""
    from lamina.cluster import launchers, profiles
    from lamina.cluster.launcher import Caching
    from lamina.core.classes import replace

    cluster = profiles.find(args.on or "local", Path.cwd())
    if args.registry:
        cluster = replace(cluster, registry=args.registry)
    launcher = launchers.of(cluster)
    reference = args.what
    if arguments.is_label(args.what):
        from lamina.cli import shipping
        from lamina.cli.commands import submit
        from lamina.cli.session import Session

        with Session(arguments.options(args)) as session:
            found = submit.target(session, args.what)
            if isinstance(launcher, Caching):  # the nodes on which the job itself may come
                cluster = replace(
                    cluster,
                    partition=found.spec.partition or cluster.partition,
                    constraint=found.spec.constraint or cluster.constraint,
                )
                launcher = launchers.of(cluster)
            shipped = shipping.ship(
                session, args, launcher, found.binary, begun=time.time(), push=True
            )  # fmt: skip
        reference = shipped.reference
    if isinstance(launcher, Caching):
        return _cached(args, launcher, reference)
    failed: list[str] = []
    rows: list[tuple[str, int, int]] = []
    # What the store of this machine has under its own names is no registry's, and is here already.
    fetched = cluster.launcher != "local" or is_remote(reference)
    unpack = ("--unpack",) if args.unpack else ()
    asked = ("pull", *unpack) if fetched else ("inspect", "--missing")
    words = [*asked, "--json", *command.access(launcher.cluster), reference]
    for name, code, text in launcher.each_node(words):
        answer = jobs.answer_of(text)
        if not code and (not fetched or {"bytes", "blobs"} <= answer.keys()):
            rows.append((name, int(answer.get("bytes", 0)), int(answer.get("blobs", 0))))
        else:
            failed.append(name)
            _warn(name, jobs.complaint_of(text, code))
    if args.json:
        nodes = [{"node": name, "bytes": size, "blobs": blobs} for name, size, blobs in rows]
        output.document({"reference": reference, "nodes": nodes, "failed": failed})
    else:
        output.table(
            ("node", "came", "blobs"),
            [(name, output.size(size), str(blobs)) for name, size, blobs in rows],
            right=(1, 2),
        )
    return _end(failed, args)


def _cached(args: argparse.Namespace, launcher: Caching, reference: str) -> int:
    """Let nodes pull by means of their own, which tell no bytes."""
    rows: list[Fetched] = []
    failed: list[str] = []
    with contextlib.closing(launcher.prefetch(reference)) as found:
        for each in found:
            if each.why:
                failed.append(each.node)
                _warn(each.node, each.why)
            else:
                rows.append(each)
    rows.sort(key=lambda each: each.node)
    if args.json:
        nodes = [
            {"node": each.node, "pulled": each.seconds is not None, "seconds": each.seconds}
            for each in rows
        ]
        output.document({"reference": reference, "nodes": nodes, "failed": sorted(failed)})
    else:
        lines = [
            (each.node, "had it", "-")
            if each.seconds is None
            else (each.node, "pulled", f"{each.seconds:.0f} s")
            for each in rows
        ]
        output.table(("node", "image", "time"), lines, right=(2,))
    return _end(sorted(failed), args)


def _warn(node: str, why: str) -> None:
    output.warning(f"the node `{node}` has not pulled it: {why}")


def _end(failed: Sequence[str], args: argparse.Namespace) -> int:
    if failed and args.json:  # which has been told
        return ServiceError.exit_code
    if failed:
        raise ServiceError(
            f"{output.plural(len(failed), 'node')} did not pull: {', '.join(failed)}"
        )
    return 0
