"""How long each step of a job took, from the edit to the first line: what a timeline shows."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from lamina.cluster.launcher import Status, Task
from lamina.cluster.records import Record
from lamina.core.classes import dataclass

HERE = ("build", "push", "submit")  # before the scheduler has the job
QUEUE, RUN = "queue", "run"
# What `lamina exec` tells the end of, in its order, and what the step is called. The first lasts
# from the start of the process.
_TOLD = (("pulled", "pull"), ("mounted", "mount"), ("started", "enter"))
NAMES = (*HERE, QUEUE, *(name for _, name in _TOLD), RUN)


@dataclass(frozen=True, slots=True)
class Stage:
    """One step, here or on a node."""

    name: str
    begin: float  # seconds since the epoch
    seconds: float
    task: int | None = None
    node: str = ""

    @property
    def end(self) -> float:
        """When it was over, in seconds since the epoch."""
        return self.begin + self.seconds


@dataclass(frozen=True, slots=True)
class Summary:
    """One step of all tasks."""

    name: str
    median: float  # seconds
    slowest: float
    where: str  # the node of the slowest


def of(record: Record, status: Status, now: float | None = None) -> list[Stage]:
    """The steps of a job that are known, by their begin.

    What a program does itself is told once it has ended; with `now`, also until then.
    """
    found = []
    at = record.submitted
    for name in HERE:
        if name in record.seconds:
            found.append(Stage(name, at, record.seconds[name]))
            at += record.seconds[name]
    for task in status.tasks:
        end = task.ended or (status.ended if status.state.is_over else now) or 0.0
        found += _of_task(task, at, end)
    return sorted(found, key=lambda stage: (stage.begin, stage.task or 0))


def _of_task(task: Task, submitted: float, end: float) -> Iterator[Stage]:
    times = dict(task.times)
    if "begin" not in times:
        return
    # Clocks of machines differ a little.
    ends = [(QUEUE, times["begin"]), *((name, times[key]) for key, name in _TOLD if key in times)]
    if "started" in times and end:
        ends.append((RUN, end))
    before = submitted
    for name, reached in ends:
        yield Stage(name, before, max(reached - before, 0.0), task.index, task.node)
        before = max(before, reached)


def until_running(stages: Sequence[Stage]) -> tuple[float, float] | None:
    """Seconds from the wish until the last task's program began, and those without the queue.

    None where no task has come so far.
    """
    begun = [stage for stage in stages if stage.name == _TOLD[-1][1]]
    if not begun:
        return None
    last = max(begun, key=lambda stage: stage.end)
    waited = sum(
        stage.seconds for stage in stages if stage.name == QUEUE and stage.task == last.task
    )
    total = last.end - min(stage.begin for stage in stages)
    return total, total - waited


def summary(stages: Sequence[Stage]) -> list[Summary]:
    """Each step once, in the order in which they first begin."""
    found = []
    for name in dict.fromkeys(stage.name for stage in stages):
        same = [stage for stage in stages if stage.name == name]
        slowest = max(same, key=lambda stage: stage.seconds)
        median = statistics.median(stage.seconds for stage in same)
        found.append(Summary(name, median, slowest.seconds, slowest.node))
    return found
