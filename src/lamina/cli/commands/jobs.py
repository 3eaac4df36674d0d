"""`lamina jobs`: the jobs that were submitted from here, or that a scheduler knows."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.cli import arguments, jobs, output
from lamina.core.errors import LaminaError

if TYPE_CHECKING:
    from lamina.cluster.records import Record


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    jobs.add_cluster(parser)
    parser.add_argument("--all", "-a", action="store_true", help="also those that are over")
    arguments.add_json(parser)
    parser.epilog = "Without `--on` those that were submitted from here, wherever they run."


def run(args: argparse.Namespace) -> int:
    """Print a table, the newest last."""
    rows = _known_there(args.on) if args.on else _known_here(everything=args.all)
    if args.json:
        output.document(rows)
        return 0
    output.table(
        ("job", "on", "number", "state", "age", "target"),
        [
            (row["id"], row["cluster"], row["native"], row["state"], _age(row), row["label"])
            for row in rows
        ],
    )
    return 0


def _age(row: dict[str, str]) -> str:
    submitted = float(row["submitted"])
    return output.duration(time.time() - submitted) if submitted else ""


def _known_here(*, everything: bool) -> list[dict[str, str]]:
    from lamina.cluster import launchers, records

    rows = []
    for folder in records.folders():
        try:
            record = records.read(folder)
        except LaminaError as error:
            output.warning(error.message)
            continue
        try:
            status = launchers.of_record(record).status(record)
            state, is_over = status.state.value, status.state.is_over
        except LaminaError as error:
            state, is_over = f"unknown: {error.message}", False
        if everything or not is_over:
            rows.append(_row(record, state))
    return rows


def _row(record: Record, state: str) -> dict[str, str]:
    return {
        "id": record.job.id,
        "cluster": record.cluster,
        "native": record.native,
        "state": state,
        "submitted": str(record.submitted),
        "label": record.job.label,
    }


def _known_there(name: str) -> list[dict[str, str]]:
    from lamina.cluster import launchers

    launcher = launchers.named(name, Path.cwd())
    return [
        {
            "id": each.id,
            "cluster": name,
            "native": each.native,
            "state": each.state.value,
            "submitted": str(each.submitted),
            "label": each.name,
        }
        for each in launcher.jobs()
    ]
