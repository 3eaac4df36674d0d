"""A build in time: which worker did what when, as a trace for Perfetto and Chrome.

The format is that of the Trace Event Format, as JSON; times are microseconds.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import Any

from lamina.build.history.details import Details, Execution
from lamina.build.history.index import Entry

_CATEGORIES = {"ran": "action", "known": "cache", "failed": "failure", "stopped": "stopped"}


def lanes(executions: Iterable[Execution]) -> list[tuple[int, Execution]]:
    """Each action with a number such that two at one time have different ones, the lowest free."""
    free: list[int] = []
    busy: list[tuple[float, int]] = []  # until when
    found: list[tuple[int, Execution]] = []
    for execution in sorted(executions, key=lambda each: (each.begun, each.ended)):
        while busy and busy[0][0] <= execution.begun:
            heapq.heappush(free, heapq.heappop(busy)[1])
        lane = heapq.heappop(free) if free else len(busy)
        heapq.heappush(busy, (execution.ended, lane))
        found.append((lane, execution))
    return found


def trace(entry: Entry, details: Details | None) -> dict[str, Any]:
    """The trace of a build."""
    events = [_name("process_name", 0, f"lamina {' '.join(entry.words)}")]
    events.append(_name("thread_name", 0, "phases"))
    events += [_event(name, "phase", 0, begun, ended, {}) for name, begun, ended in entry.phases]
    placed = lanes(details.executions()) if details else []
    for lane in sorted({lane for lane, _ in placed}):
        events.append(_name("thread_name", lane + 1, f"worker {lane + 1}"))
    for lane, each in placed:
        more = {"target": each.owner, "state": each.state}
        if each.state == "ran":
            more["place"] = each.place
        category = _CATEGORIES[each.state]
        events.append(_event(str(each), category, lane + 1, each.begun, each.ended, more))
    events += _running([each for _, each in placed])
    return {"displayTimeUnit": "ms", "traceEvents": events}


def _event(
    name: str, category: str, lane: int, begun: float, ended: float, more: dict[str, str]
) -> dict[str, Any]:
    return {
        "name": name,
        "cat": category,
        "ph": "X",
        "pid": 1,
        "tid": lane,
        "ts": round(begun * 1e6),
        "dur": max(1, round((ended - begun) * 1e6)),
        "args": more,
    }


def _name(kind: str, lane: int, name: str) -> dict[str, Any]:
    return {"name": kind, "ph": "M", "pid": 1, "tid": lane, "args": {"name": name}}


def _running(executions: Sequence[Execution]) -> list[dict[str, Any]]:
    """A curve of how many actions run."""
    steps = [(each.begun, 1) for each in executions] + [(each.ended, -1) for each in executions]
    events, count = [], 0
    for when, step in sorted(steps):
        count += step
        events.append(
            {"name": "running", "ph": "C", "pid": 1, "ts": round(when * 1e6), "args": {"n": count}}
        )
    return events
