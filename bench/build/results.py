"""Tables of what was measured: for each repository the scenarios, both tools beside each other."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence

from bench import report
from bench.build.log import Entry
from bench.build.scenarios import MEMORY, SCENARIOS

_TITLES = {scenario.name: scenario.title for scenario in SCENARIOS}
_LAMINA, _BAZEL = "lamina", "Bazel"


def text(entries: Sequence[Entry], *, markdown: bool = False) -> str:
    """A table of seconds for each repository, and one of memory."""
    parts = []
    for repository in dict.fromkeys(entry.repository for entry in entries):
        own = [entry for entry in entries if entry.repository == repository]
        times = [entry for entry in own if not entry.scenario.startswith(MEMORY)]
        memory = [entry for entry in own if entry.scenario.startswith(MEMORY)]
        if times:
            parts.append(f"## {repository}: seconds\n{_table(times, _TIME_HEAD, _times, markdown)}")
        if memory:
            parts.append(
                f"## {repository}: memory\n{_table(memory, _MEMORY_HEAD, _memory, markdown)}"
            )
    return "\n\n".join(parts)


def _table(
    entries: Sequence[Entry],
    head: Sequence[str],
    row: Callable[[Sequence[Entry]], list[str]],
    markdown: bool,
) -> str:
    names = dict.fromkeys(entry.scenario for entry in entries)
    lines = [row([e for e in entries if e.scenario == name]) for name in _in_order(names)]
    if not markdown:
        return report.aligned([head, *lines])
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *lines])


_TIME_HEAD = ["", _LAMINA, "middle half", _BAZEL, "middle half", "lamina / Bazel", "ran", "rounds"]
_MEMORY_HEAD = ["", _LAMINA, _BAZEL, "lamina / Bazel"]


def _in_order(names: Iterable[str]) -> list[str]:
    order = list(_TITLES)
    return sorted(names, key=lambda name: order.index(name) if name in order else len(order))


def _times(entries: Sequence[Entry]) -> list[str]:
    values = _by_tool(entries)
    cells = [_TITLES.get(entries[0].scenario, entries[0].scenario)]
    for tool in (_LAMINA, _BAZEL):
        found = list(values.get(tool, {}).values())
        cells += [f"{statistics.median(found):.3f}", _half(found)] if found else ["-", "-"]
    ran = [
        {entry.ran for entry in entries if entry.tool == tool and entry.ran is not None}
        for tool in (_LAMINA, _BAZEL)
    ]
    rounds = max(len(found) for found in values.values())
    return [*cells, _ratio(values), " : ".join(map(_counts, ran)), str(rounds)]


def _memory(entries: Sequence[Entry]) -> list[str]:
    values = _by_tool(entries)
    medians = [
        f"{statistics.median(values[tool].values()) / 2**20:.0f} MiB" if tool in values else "-"
        for tool in (_LAMINA, _BAZEL)
    ]
    title = entries[0].scenario.removeprefix(f"{MEMORY} ")
    return [title, *medians, _ratio(values)]


_Round = tuple[int, int]


def _by_tool(entries: Iterable[Entry]) -> dict[str, dict[_Round, float]]:
    found: dict[str, dict[_Round, float]] = {}
    for entry in entries:
        found.setdefault(entry.tool, {})[(entry.run, entry.round)] = entry.value
    return found


def _ratio(values: dict[str, dict[_Round, float]]) -> str:
    """The median of the ratios within each round: noise that lasts for a round cancels out."""
    lamina, bazel = values.get(_LAMINA, {}), values.get(_BAZEL, {})
    both = [lamina[number] / bazel[number] for number in lamina if number in bazel]
    return f"{statistics.median(both):.2f}" if both else "-"


def _half(values: Sequence[float]) -> str:
    if len(values) < 2:
        return "-"
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{low:.3f} .. {high:.3f}"


def _counts(numbers: set[int]) -> str:
    if not numbers:
        return "-"
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low}..{high}"
