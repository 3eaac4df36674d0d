"""`lamina cancel`: end a job."""

from __future__ import annotations

import argparse

from lamina.cli import jobs, output


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    jobs.add_job(parser)


def run(args: argparse.Namespace) -> int:
    """End it, and wait for that; its tasks get SIGTERM first."""
    record, launcher = jobs.find(args.job)
    status = launcher.status(record)
    if status.state.is_over:
        output.note(f"job {record.job.id} is over: {jobs.describe(status)}")
        return 0
    launcher.cancel(record)
    status = jobs.ended(record, launcher)
    output.note(f"job {record.job.id}: {jobs.describe(status)}")
    return 0
