"""`lamina status`: what became of a job, and of each of its tasks."""

from __future__ import annotations

import argparse

from lamina.cli import arguments, jobs, output


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    jobs.add_job(parser)
    parser.add_argument("--tasks", action="store_true", help="also of each task")
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the state."""
    record, launcher = jobs.find(args.job)
    status = launcher.status(record)
    if args.json:
        output.document(
            {
                "id": record.job.id,
                "cluster": record.cluster,
                "native": record.native,
                "state": status.state.value,
                "reason": status.reason,
                "exit_code": status.exit_code,
                "attempt": status.attempt,
                "nodes": list(status.nodes),
                "tasks": [
                    {
                        "index": task.index,
                        "state": task.state.value,
                        "exit_code": task.exit_code,
                        "node": task.node,
                    }
                    for task in status.tasks
                ],
            }
        )
        return 0
    output.data(f"{record.job.id}: {jobs.describe(status)}")
    if args.tasks:
        output.table(
            ("task", "state", "exit code", "node"),
            [
                (
                    str(task.index),
                    task.state.value,
                    "" if task.exit_code is None else str(task.exit_code),
                    task.node,
                )
                for task in status.tasks
            ],
            right=(0, 2),
        )
    return 0
