"""`lamina ps`: list what runs: containers of this user, and programs of packages of the store."""

from __future__ import annotations

import argparse
import time
from typing import Any

from lamina.cli import arguments, output


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("-q", "--quiet", action="store_true", help="print the ids alone")
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print a line for each, the oldest first."""
    rows = [*_containers(), *_programs()]
    rows.sort(key=lambda row: (row["started"], row["id"]))
    if args.json:
        output.document({"running": rows})
    elif args.quiet:
        for row in rows:
            output.data(row["id"])
    else:
        output.table(
            ("id", "package", "started", "pid", "memory", "runtime", "command"),
            [_words(row) for row in rows],
        )
    return 0


def _words(row: dict[str, Any]) -> tuple[str, ...]:
    ago = f"{output.duration(max(0.0, time.time() - row['started']))} ago"
    memory = "" if row["memory"] is None else output.size(row["memory"])
    command = " ".join(row["command"])
    if len(command) > _WIDEST:
        command = f"{command[:_WIDEST]}…"
    return row["id"], row["package"], ago, str(row["pid"]), memory, row["runtime"], command


_WIDEST = 40  # characters of a command that a table shows


def _containers() -> list[dict[str, Any]]:
    from lamina.node import running

    return [
        {
            "id": each.id,
            "package": each.title,
            "digest": each.package,
            "started": each.started,
            "pid": each.pid,
            "memory": running.usage(each).memory,
            "runtime": each.runtime,
            "command": list(each.command),
        }
        for each in running.every()
    ]


def _programs() -> list[dict[str, Any]]:
    """What has no container is known by its process."""
    from lamina.node import bare
    from lamina.store import local

    return [
        {
            "id": str(each.pid),
            "package": each.title,
            "digest": each.package,
            "started": each.started,
            "pid": each.pid,
            "memory": each.memory,
            "runtime": "none",
            "command": list(each.command),
        }
        for each in bare.every(local.default_folder())
    ]
