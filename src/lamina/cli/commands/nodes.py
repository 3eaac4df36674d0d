"""`lamina nodes`: the machines of a cluster, and what each lacks of a package."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.cli import arguments, jobs, output
from lamina.cluster import command

if TYPE_CHECKING:
    from lamina.cluster.launcher import Launcher


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "reference", metavar="REF", nargs="?", default="",
        help="a package by its reference: tell what each node lacks of it",
    )  # fmt: skip
    jobs.add_cluster(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print a table."""
    from lamina.cluster import launchers

    launcher = launchers.named(args.on or "local", Path.cwd())
    lacking = _lacking(launcher, args.reference) if args.reference else {}
    rows = [
        {
            "name": node.name,
            "state": node.state,
            "cpus": node.cpus,
            "memory": node.memory,
            "gpus": node.gpus,
            "features": list(node.features),
            **({"missing": lacking.get(node.name)} if args.reference else {}),
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
            line.insert(2, _told(lacking.get(line[0])))
    output.table(header, lines)
    return 0


def _told(missing: int | None) -> str:
    if missing is None:
        return "unknown"
    return output.size(missing) if missing else "nothing"


def _lacking(launcher: Launcher, reference: str) -> dict[str, int]:
    """Bytes that each node would have to fetch; without those that cannot be asked."""
    found = {}
    words = ["inspect", "--missing", "--json", *command.access(launcher.cluster), reference]
    for name, code, text in launcher.each_node(words):
        try:
            found[name] = int(json.loads(text[text.index("{") : text.rindex("}") + 1])["missing"])
        except (ValueError, KeyError):
            why = text.strip().splitlines()[-1:] or [f"exit code {code}"]
            output.warning(f"the node `{name}` cannot be asked: {why[0]}")
    return found
