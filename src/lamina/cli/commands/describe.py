"""`lamina describe`: what a job is, where it runs, and how long its steps took."""

from __future__ import annotations

import argparse

from lamina.cli import arguments, jobs, output
from lamina.core.classes import asdict


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    jobs.add_job(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print it."""
    from lamina.cluster import stages

    record, launcher = jobs.find(args.job)
    status = launcher.status(record)
    found = stages.of(record, status)
    if args.json:
        output.document(
            {
                "id": record.job.id,
                "cluster": record.cluster,
                "native": record.native,
                "label": record.job.label,
                "package": record.job.package,
                "spec": asdict(record.job.spec),
                "folder": str(record.folder),
                "state": status.state.value,
                "reason": status.reason,
                "exit_code": status.exit_code,
                "attempt": status.attempt,
                "nodes": list(status.nodes),
                "sent": dict(record.sent),
                "stages": [
                    {"name": each.name, "task": each.task, "node": each.node,
                     "begin": each.begin, "seconds": each.seconds}
                    for each in found
                ],
            }
        )  # fmt: skip
        return 0
    lines = [
        ("job", record.job.id),
        ("target", record.job.label),
        ("package", record.job.package),
        ("on", f"{record.cluster}, number {record.native}"),
        ("state", jobs.describe(status)),
        ("tasks", str(jobs.total(record))),
        ("nodes", ", ".join(status.nodes)),
        ("folder", str(record.folder)),
    ]
    if record.sent:
        sent = record.sent
        lines.append(("pushed", f"{sent['blobs']} blobs, {output.size(sent['bytes'])}"))
        if carried := sent.get("carried"):
            lines.append(("carried", f"{output.size(carried)} to each node, with the job"))
    for name, text in lines:
        if text:
            output.data(f"{name:8} {text}")
    if found:
        output.data("")
        output.table(
            ("stage", "median", "slowest", "where"),
            [
                (each.name, output.duration(each.median), output.duration(each.slowest), each.where)
                for each in stages.summary(found)
            ],
            right=(1, 2),
        )
    return 0
