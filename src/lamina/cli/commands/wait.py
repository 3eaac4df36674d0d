"""`lamina wait`: wait for the end of a job; its exit code is that of the job."""

from __future__ import annotations

import argparse

from lamina.cli import jobs, output


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    jobs.add_job(parser)
    parser.epilog = (
        "The exit code is that of the job's first task that failed; where there is none, "
        "124 for a time limit, 130 for a job that was cancelled, else 1."
    )


def run(args: argparse.Namespace) -> int:
    """Wait."""
    record, launcher = jobs.find(args.job)
    status = jobs.ended(record, launcher)
    output.note(f"job {record.job.id}: {jobs.describe(status)}")
    return jobs.exit_code(status)
