"""`lamina nodes`: the machines of a cluster, and what each lacks of a package."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.cli import arguments, jobs, output
from lamina.cluster import command
from lamina.core.errors import UserError

if TYPE_CHECKING:
    from lamina.cluster.launcher import Labelling, Launcher


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "reference", metavar="REF", nargs="?", default="",
        help="a package by its reference: tell what each node lacks of it",
    )  # fmt: skip
    jobs.add_cluster(parser)
    parser.add_argument(
        "--label", action="store_true",
        help="let features of Slurm tell which nodes have most of the package (for its operators)",
    )  # fmt: skip
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print a table."""
    from lamina.cluster import launchers

    launcher = launchers.named(args.on or "local", Path.cwd())
    labelling = _labelling(launcher, args.reference) if args.label else None
    lacking = _lacking(launcher, args.reference) if args.reference else {}
    if labelling is not None:
        _label(labelling, args.reference, lacking)
    rows = [
        {
            "name": node.name,
            "state": node.state,
            "cpus": node.cpus,
            "memory": node.memory,
            "gpus": node.gpus,
            "features": list(node.features),
            **({"missing": _missing(lacking, node.name)} if args.reference else {}),
        }
        for node in launcher.nodes()
    ]
    if args.json:
        output.document(rows)
        return 0
    header = ["node", "state", "cpus", "memory", "gpus", "features"]
    lines = [
        [
            node.name, node.state, str(node.cpus), output.size(node.memory), str(node.gpus),
            ",".join(node.features),
        ]
        for node in launcher.nodes()
    ]  # fmt: skip
    if args.reference:
        header.insert(2, "lacks")
        for line in lines:
            line.insert(2, _told(_missing(lacking, line[0])))
    output.table(header, lines)
    return 0


def _missing(lacking: Mapping[str, tuple[int, int]], node: str) -> int | None:
    return lacking[node][0] if node in lacking else None


def _labelling(launcher: Launcher, reference: str) -> Labelling:
    from lamina.cluster.launcher import Labelling

    if not reference:
        raise UserError("`--label` needs the reference of a package")
    if not isinstance(launcher, Labelling):
        raise UserError(
            f"nodes of the cluster `{launcher.cluster.name}` have no labels",
            hint="those of Slurm have, by its features: leave `--label` out",
        )
    return launcher


def _label(launcher: Labelling, reference: str, lacking: Mapping[str, tuple[int, int]]) -> None:
    from lamina.cluster import features

    warm = {name: features.is_warm(*each) for name, each in lacking.items()}
    changed = launcher.label(reference, warm)
    output.note(f"labelled {output.plural(sum(warm.values()), 'node')}, {len(changed)} anew")


def _told(missing: int | None) -> str:
    if missing is None:
        return "unknown"
    return output.size(missing) if missing else "nothing"


def _lacking(launcher: Launcher, reference: str) -> dict[str, tuple[int, int]]:
    """Bytes that each node would have to fetch, of how many; without those that do not answer."""
    from lamina.cluster.launcher import Caching

    if isinstance(launcher, Caching):
        return dict(launcher.held(reference))
    found = {}
    words = ["inspect", "--missing", "--json", *command.access(launcher.cluster), reference]
    for name, code, text in launcher.each_node(words):
        told = jobs.answer_of(text)
        if {"missing", "size"} <= told.keys():
            found[name] = int(told["missing"]), int(told["size"])
        else:
            why = jobs.complaint_of(text, code)
            output.warning(f"the node `{name}` cannot be asked: {why}")
    return found
