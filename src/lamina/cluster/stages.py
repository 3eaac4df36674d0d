"""How long each step of a job took, from the edit to the first line: what a timeline shows."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from lamina.cluster.launcher import Status
from lamina.cluster.records import Record

# What `lamina exec` tells the end of, in its order, and what the step is called.
_TOLD = (("begin", "start lamina"), ("pulled", "pull"), ("mounted", "mount"), ("started", "enter"))


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


def of(record: Record, status: Status) -> list[Stage]:
    """The steps of a job that are known, by their begin."""
    found = []
    at = record.submitted
    for name in ("build", "push", "submit"):
        if name in record.seconds:
            found.append(Stage(name, at, record.seconds[name]))
            at += record.seconds[name]
    for task in status.tasks:
        times = dict(task.times)
        before = at
        if "begin" in times:
            found.append(
                Stage("queue", before, max(times["begin"] - before, 0.0), task.index, task.node)
            )
            before = times["begin"]
        for key, name in _TOLD[1:]:
            if key in times:
                seconds = max(times[key] - before, 0.0)
                found.append(Stage(name, before, seconds, task.index, task.node))
                before = max(times[key], before)
    return sorted(found, key=lambda stage: (stage.begin, stage.task or 0))


def summary(stages: Sequence[Stage]) -> list[Summary]:
    """Each step once, in the order in which they first begin."""
    found = []
    for name in dict.fromkeys(stage.name for stage in stages):
        same = [stage for stage in stages if stage.name == name]
        slowest = max(same, key=lambda stage: stage.seconds)
        median = statistics.median(stage.seconds for stage in same)
        found.append(Summary(name, median, slowest.seconds, slowest.node))
    return found
