"""The steps of a job as a chart: one row for who submitted, and one for each node or task.

What is drawn ends a little after the last program has begun: what programs do themselves may take
days, and would leave no room for what lamina and the scheduler do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from lamina.cluster import stages
from lamina.cluster.stages import Stage
from lamina.core.classes import dataclass

HERE = "here"
_BEHIND = 0.2  # of the chart, for what programs do themselves
_TICK = 10  # columns between two times at least

# As on a terminal: black on a colour; https://www.ecma-international.org/publications-and-standards/
# standards/ecma-48, SGR.
_STYLES: Mapping[str, str] = MappingProxyType(
    {
        "build": "30;44", "push": "30;46", "submit": "30;45", "queue": "30;47",
        "pull": "30;42", "mount": "30;43", "enter": "30;41", "run": "30;102",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the chart."""

    name: str
    stages: tuple[Stage, ...]  # one after the other


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn."""

    rows: tuple[Row, ...]
    begin: float  # seconds since the epoch
    end: float  # of the chart; programs may run on

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.end - self.begin


def chart(found: Sequence[Stage], *, each_task: bool = False) -> Chart | None:
    """The chart of steps; None where there is none.

    A node with several tasks is shown by the one that began last, unless each task is wanted.
    """
    if not found:
        return None
    rows = [Row(HERE, tuple(stage for stage in found if stage.task is None))]
    by_task: dict[int, list[Stage]] = {}
    for stage in found:
        if stage.task is not None:
            by_task.setdefault(stage.task, []).append(stage)
    tasks = [(number, by_task[number]) for number in sorted(by_task)]
    if each_task:
        rows += [Row(_name_of_task(number, each), tuple(each)) for number, each in tasks]
    else:
        rows += _nodes(tasks)
    begin = min(stage.begin for stage in found)
    last = max((stage.end for stage in found if stage.name != stages.RUN), default=begin)
    ended = max(stage.end for stage in found)
    end = min(ended, begin + (last - begin) / (1 - _BEHIND))
    return Chart(tuple(row for row in rows if row.stages), begin, max(end, begin + 1e-3))


def _name_of_task(number: int, found: Sequence[Stage]) -> str:
    node = found[0].node
    return f"{node} task {number}" if node else f"task {number}"


def _nodes(tasks: Sequence[tuple[int, list[Stage]]]) -> Iterator[Row]:
    """Each node once, in the order of its first task; a task whose node is not known alone."""
    groups: dict[str, list[list[Stage]]] = {}
    for number, found in tasks:
        groups.setdefault(found[0].node or f"task {number}", []).append(found)
    for name, group in groups.items():
        slowest = max(group, key=lambda found: max(_begun(stage) for stage in found))
        several = f" ({len(group)} tasks)" if len(group) > 1 else ""
        yield Row(f"{name}{several}", tuple(slowest))


def _begun(stage: Stage) -> float:
    return stage.begin if stage.name == stages.RUN else stage.end


def lines(shown: Chart, width: int, *, colour: bool) -> Iterator[str]:
    """The chart for a terminal of so many columns: bars with the names of the steps in them.

    A step that is shorter than a column is left out; `>` is a program that runs on.
    """
    names = max(len(row.name) for row in shown.rows)
    room = max(width - names - 2, 20)
    yield f"{'':{names}}  {_axis(shown, room)}"
    for row in shown.rows:
        yield f"{row.name:{names}}  {''.join(_bars(shown, row, room, colour=colour))}".rstrip()


def _bars(shown: Chart, row: Row, room: int, *, colour: bool) -> Iterator[str]:
    reached = 0
    for stage in row.stages:
        first, last = (
            min(max(round((at - shown.begin) / shown.seconds * room), reached), room)
            for at in (stage.begin, stage.end)
        )
        if last == first:
            continue
        bar = stage.name[: last - first].ljust(last - first, "-")
        if stage.end > shown.end + 1e-6:
            bar = f"{bar[:-1]}>"
        style = _STYLES.get(stage.name, "7")
        yield " " * (first - reached) + (f"\x1b[{style}m{bar}\x1b[0m" if colour else bar)
        reached = last


def _axis(shown: Chart, room: int) -> str:
    found = ""
    for at in ticks(shown.seconds, room // _TICK):
        place = round(at / shown.seconds * room)
        label = f"{at:g} s"
        if place + len(label) <= room:
            found = f"{found:{place}}{label}"
    return found


def ticks(seconds: float, most: int) -> list[float]:
    """Round times from 0 on, at most so many and one."""
    rough = seconds / max(most, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * each for each in (1, 2, 5, 10, 20) if power * each >= rough * (1 - 1e-9))
    return [round(number * step, 9) for number in range(int(seconds / step + 1e-9) + 1)]
