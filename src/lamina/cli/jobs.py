"""What the commands about jobs share: finding them, and showing what became of them."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamina.cli import output
from lamina.cluster import launchers, records
from lamina.cluster.launcher import State, Watching
from lamina.core.errors import UserError

if TYPE_CHECKING:
    from lamina.cluster.launcher import Launcher, Status
    from lamina.cluster.records import Record

_SOONEST, _LATEST = 0.05, 2.0  # seconds between two questions
_EXIT_CODES = {State.TIMEOUT: 124, State.CANCELLED: 130, State.OUT_OF_MEMORY: 137}


def add_job(parser: argparse.ArgumentParser) -> None:
    """Which job."""
    parser.add_argument(
        "job", metavar="JOB", nargs="?", default="",
        help="its id, or how that begins; `CLUSTER:NUMBER` for one of a scheduler "
        "(default: the last that was submitted)",
    )  # fmt: skip
    parser._actions[-1].completer = lambda **_: [each.name for each in records.folders()]  # type: ignore[attr-defined]


def add_cluster(parser: argparse.ArgumentParser) -> None:
    """Which cluster."""
    parser.add_argument(
        "--on", metavar="CLUSTER", default="",
        help="`local`, `slurm`, `kubernetes`, or the NAME of a `[cluster.NAME]` in `lamina.toml`",
    )  # fmt: skip


def answer_of(text: str) -> dict[str, Any]:
    """The JSON object in what a command with `--json` has printed on a node; {} where none is."""
    try:
        found = json.loads(text[text.index("{") : text.rindex("}") + 1])
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def complaint_of(text: str, code: int) -> str:
    """Why a command with `--json` failed on a node, in one line."""
    error = answer_of(text).get("error")
    if isinstance(error, dict) and error.get("message"):
        return " ".join(str(error["message"]).split())
    lines = text.strip().splitlines()
    return lines[-1] if lines else f"exit code {code}"


def find(name: str) -> tuple[Record, Launcher]:
    """A job, and who started it; raises UserError where there is none."""
    cluster, colon, native = name.partition(":")
    if colon:
        launcher = launchers.named(cluster, Path.cwd())
        for folder in reversed(records.folders()):
            record = records.read(folder)
            if record.cluster == cluster and record.native == native:
                return record, launchers.of_record(record)
        return launcher.foreign(native), launcher
    if not name:
        known = records.folders()
        if not known:
            raise UserError("no job was submitted from here", hint="`lamina submit TARGET`")
        record = records.read(known[-1])
        return record, launchers.of_record(record)
    found = records.find(name)
    if found is None:
        raise UserError(
            f"there is no job `{name}`",
            hint="`lamina jobs` lists those that were submitted from here, "
            "`lamina jobs --on CLUSTER` all",
        )
    return found, launchers.of_record(found)


def exit_code(status: Status) -> int:
    """What `wait` ends with: the job's own exit code where it has one."""
    if status.state is State.SUCCEEDED:
        return 0
    return status.exit_code or _EXIT_CODES.get(status.state, 1)


def until(record: Record, launcher: Launcher, see: Callable[[Status], bool]) -> Status:
    """Ask again and again what became of a job, until something is seen in that."""
    pause = _SOONEST
    while True:
        status = launcher.status(record)
        if see(status):
            return status
        if isinstance(launcher, Watching):
            launcher.await_change(record, _LATEST)
            continue
        time.sleep(pause)
        pause = min(pause * 1.3, _LATEST)


def ended(record: Record, launcher: Launcher) -> Status:
    """What became of a job, once it is over."""
    return until(record, launcher, lambda status: status.state.is_over)


def describe(status: Status) -> str:
    """`failed (task 3 ended with 1)`."""
    text = status.state.value
    if status.reason:
        text += f" ({status.reason})"
    return text


def follow(
    record: Record, launcher: Launcher, task: int | None, *, go_on: bool
) -> Iterator[tuple[int, bytes]]:
    """Lines of tasks, each with the number of its task, as they come.

    With `go_on` until the job is over, else what there is now.
    """
    begins: dict[int, int] = {}
    rests: dict[int, bytes] = {}
    pause = _SOONEST
    while True:
        status = launcher.status(record) if go_on else None
        is_over = status is None or status.state.is_over
        came = False
        for number in [task] if task is not None else range(total(record)):
            data = launcher.log(record, number, begins.get(number, 0))
            if not data:
                continue
            came = True
            begins[number] = begins.get(number, 0) + len(data)
            *lines, rests[number] = (rests.get(number, b"") + data).split(b"\n")
            for line in lines:
                yield number, line
        if is_over:
            break
        pause = _SOONEST if came else min(pause * 1.3, 0.5)
        time.sleep(pause)
    for number, rest in sorted(rests.items()):
        if rest:
            yield number, rest


def total(record: Record) -> int:
    """How many tasks a job has in all its elements."""
    return record.job.spec.count * len(record.job.spec.elements)


def print_lines(record: Record, lines: Iterator[tuple[int, bytes]], task: int | None) -> None:
    """Show lines, each behind the number of its task where there are several."""
    many = task is None and total(record) > 1
    width = len(str(total(record) - 1))
    for number, line in lines:
        prefix = f"{number:>{width}}: ".encode() if many else b""
        output.raw(prefix + line + b"\n")
