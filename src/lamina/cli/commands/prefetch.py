"""`lamina prefetch`: let the nodes of a cluster have a package before a job needs it."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from lamina.cli import arguments, jobs, output, repositories
from lamina.cluster import command
from lamina.core.errors import ServiceError
from lamina.core.reference import is_remote


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
            binary = submit.target(session, args.what).binary
            shipped = shipping.ship(session, args, launcher, binary, begun=time.time(), push=True)
        reference = shipped.reference
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
            why = jobs.complaint_of(text, code)
            output.warning(f"the node `{name}` has not pulled it: {why}")
    if args.json:
        nodes = [{"node": name, "bytes": size, "blobs": blobs} for name, size, blobs in rows]
        output.document({"reference": reference, "nodes": nodes, "failed": failed})
    else:
        output.table(
            ("node", "came", "blobs"),
            [(name, output.size(size), str(blobs)) for name, size, blobs in rows],
            right=(1, 2),
        )
    if failed and args.json:
        return ServiceError.exit_code
    if failed:
        raise ServiceError(
            f"{output.plural(len(failed), 'node')} did not pull: {', '.join(failed)}"
        )
    return 0
