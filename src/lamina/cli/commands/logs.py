"""`lamina logs`: what the tasks of a job print."""

from __future__ import annotations

import argparse

from lamina.cli import arguments, jobs
from lamina.core.errors import UserError


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    jobs.add_job(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="until the job is over")
    parser.add_argument(
        "--task", type=arguments.count("--task", least=0), metavar="N", help="of one task alone"
    )


def run(args: argparse.Namespace) -> int:
    """Print it, each line behind the number of its task where there are several."""
    record, launcher = jobs.find(args.job)
    if args.task is not None and not 0 <= args.task < jobs.total(record):
        raise UserError(
            f"the job `{record.job.id}` has no task {args.task}",
            hint=f"they are numbered from 0 to {jobs.total(record) - 1}",
        )
    lines = jobs.follow(record, launcher, args.task, go_on=args.follow)
    jobs.print_lines(record, lines, args.task)
    return 0
