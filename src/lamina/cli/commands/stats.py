"""`lamina stats`: tell what the containers of this user use of the machine."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING, Any

from lamina.cli import arguments, output

if TYPE_CHECKING:
    from lamina.linux.groupusage import Usage
    from lamina.node.running import Running

    Look = tuple[Running, Usage, float]  # a container, what it uses, and when that was asked

_PAUSE = 1.0  # seconds over which the use of processors is measured


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("ids", metavar="ID", nargs="*", help="of containers (default: all)")
    parser.add_argument("--no-stream", action="store_true", help="tell it once, and end")
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print a line for each container, again each second unless it is to be told once."""
    before = _look(args)
    while True:
        time.sleep(_PAUSE)
        now = _look(args)
        rows = [_row(each, before.get(id_)) for id_, each in now.items()]
        if args.json:
            output.document({"containers": rows})
        else:
            if not args.no_stream and sys.stdout.isatty():
                sys.stdout.write("\x1b[H\x1b[2J")  # the next table in the place of the last
            output.table(_HEAD, [_words(row) for row in rows])
        sys.stdout.flush()
        if args.no_stream or args.json or not sys.stdout.isatty():
            return 0
        before = now


_HEAD = ("id", "package", "cpu", "memory", "limit", "peak", "pids")


def _look(args: argparse.Namespace) -> dict[str, Look]:
    from lamina.node import running

    found = [running.find(word) for word in args.ids] if args.ids else running.every()
    return {each.id: (each, running.usage(each), time.monotonic()) for each in found}


def _row(now: Look, before: Look | None) -> dict[str, Any]:
    record, usage, when = now
    share = None
    if before is not None and usage.cpu is not None and before[1].cpu is not None:
        share = round(max(0.0, usage.cpu - before[1].cpu) / max(when - before[2], 1e-3), 3)
    return {
        "id": record.id,
        "package": record.title,
        "cpu": share,
        "cpu_seconds": usage.cpu,
        "memory": usage.memory,
        "memory_limit": usage.memory_limit,
        "memory_peak": usage.memory_peak,
        "pids": usage.pids,
        "pids_limit": usage.pids_limit,
        "out_of_memory": usage.out_of_memory,
    }


def _words(row: dict[str, Any]) -> tuple[str, ...]:
    def size(key: str) -> str:
        return "" if row[key] is None else output.size(row[key])

    cpu = "" if row["cpu"] is None else f"{row['cpu']:.0%}"
    pids = "" if row["pids"] is None else str(row["pids"])
    if row["pids_limit"] is not None:
        pids = f"{pids} of {row['pids_limit']}"
    sizes = (size("memory"), size("memory_limit"), size("memory_peak"))
    return row["id"], row["package"], cpu, *sizes, pids
