"""`lamina timeline`: when each step of a job began and ended, on every node, as a chart."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.cli import jobs, output
from lamina.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.cluster.stages import Stage


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    jobs.add_job(parser)
    parser.add_argument(
        "--tasks", action="store_true",
        help="a row for each task, not for each node by the task that began last",
    )  # fmt: skip
    parser.add_argument("--svg", metavar="FILE", type=Path, help="draw it into a file instead")


def run(args: argparse.Namespace) -> int:
    """Draw it."""
    from lamina.cluster import stages, timeline

    record, launcher = jobs.find(args.job)
    status = launcher.status(record)
    found = stages.of(record, status, time.time())
    shown = timeline.chart(found, each_task=args.tasks)
    if shown is None:
        raise UserError(
            f"nothing is known of the times of `{record.job.id}`",
            hint="they are kept where a job was submitted",
        )
    about = f"on {record.cluster}: {jobs.describe(status)}{_until(found)}"
    if args.svg:
        from lamina.cluster import timelinesvg

        title = f"{record.job.label}, job {record.job.id}"
        text = timelinesvg.draw(shown, title, about, stages.summary(found))
        try:
            args.svg.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UserError(f"cannot write `{args.svg}`: {error.strerror}") from error
        output.note(f"written: {args.svg}")
        return 0
    output.data(f"{record.job.id} {about}")
    is_terminal = sys.stdout.isatty()
    colour = is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    for line in timeline.lines(shown, shutil.get_terminal_size().columns, colour=colour):
        output.data(line)
    output.data("")
    output.table(
        ("step", "median", "slowest", "where"),
        [
            (each.name, output.duration(each.median), output.duration(each.slowest), each.where)
            for each in stages.summary(found)
        ],
        right=(1, 2),
    )
    return 0


def _until(found: Sequence[Stage]) -> str:
    from lamina.cluster import stages

    until = stages.until_running(found)
    if until is None:
        return ""
    total, own = map(output.duration, until)
    return f"; all tasks had begun after {total}, {own} without the queue"
