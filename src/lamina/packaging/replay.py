"""What the layers of past commits would have weighed, by this layout and by others' ways.

Pure functions. A layout is learnt from commits that come before those it is tried on.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Iterable, Mapping

from lamina.core.classes import dataclass
from lamina.packaging import grouping
from lamina.packaging.grouping import Layout, Member

THIRD_PARTY = frozenset({"third_party", "third-party", "thirdparty", "vendor", "external"})


@dataclass(frozen=True, slots=True)
class Shipped:
    """What a layout ships for a commit, over all commits of a replay."""

    name: str  # of the way the layers were cut
    layers: int
    mean: float  # bytes
    median: float  # bytes
    blobs: float  # layers, on average

    def ratio(self, other: Shipped) -> float:
        """How many times the bytes of another it ships."""
        return self.mean / other.mean if other.mean else float(self.mean > 0) or 1.0


@dataclass(frozen=True, slots=True)
class Trial:
    """Targets, and commits that nothing was learnt from."""

    members: tuple[Member, ...]
    sizes: Mapping[str, int]  # bytes of each target's files
    known: frozenset[str]  # targets that there are before those commits
    steps: tuple[Collection[str], ...]  # the targets that each commit touches
    needs: Mapping[str, Collection[str]]  # for each target those it depends on


LayoutAt = Callable[[int], Layout]  # the layout at the time of a step
AUTO_FIXED, AUTO_GOING, PER_TARGET = "auto", "auto, cut anew as it goes", "per-target, unlimited"


def compare(
    trial: Trial, most: int, layout: Layout, going: LayoutAt | None = None
) -> list[Shipped]:
    """What each way of cutting layers ships.

    `layout` is what was learnt before; `going` gives what lamina would use at each step.
    """
    rest = {member.name for member in trial.members} - trial.known
    known = [member for member in trial.members if member.name in trial.known]
    *alone, others = popularity(known, trial.needs, most)
    ways: dict[str, LayoutAt] = {
        PER_TARGET: fixed(grouping.rules(grouping.PER_TARGET, trial.members)),
        "per-package, unlimited": fixed(grouping.per_package(trial.members)),
        "single": fixed(grouping.rules(grouping.SINGLE, trial.members)),
        "four layers, as for Docker": fixed(docker(trial.members, trial.needs)),
        "by folder": fixed(folders(trial.members, most)),
        "popularity, as in Nix": fixed((*alone, tuple(sorted(rest.union(others))))),
        AUTO_FIXED: fixed(layout),
    }
    if going is not None:
        ways[AUTO_GOING] = going
    return [replay(name, way, trial) for name, way in ways.items()]


def replay(name: str, layout_at: LayoutAt, trial: Trial) -> Shipped:
    """Ship what each step touched, by the layout of its time.

    Targets that are not known at the beginning come to be when they are first touched. Where the
    layout changes, every layer that holds something else than before is shipped too.
    """
    ship = _Ship(trial, layout_at(0))
    loads = [ship.step(layout_at(number), step) for number, step in enumerate(trial.steps)]
    count = len(loads) or 1
    return Shipped(
        name=name,
        layers=len(ship.layout),
        mean=sum(size for size, _ in loads) / count,
        median=statistics.median(size for size, _ in loads) if loads else 0.0,
        blobs=sum(layers for _, layers in loads) / count,
    )


class _Ship:
    """The layers as they are in the middle of a replay."""

    def __init__(self, trial: Trial, layout: Layout) -> None:
        self._sizes = trial.sizes
        self._there = set(trial.known)
        self._take(layout)

    def _take(self, layout: Layout) -> None:
        self.layout = layout
        self._group = {target: number for number, group in enumerate(layout) for target in group}
        self._weights = [
            sum(self._sizes[target] for target in group if target in self._there)
            for group in layout
        ]

    def step(self, layout: Layout, touched: Collection[str]) -> tuple[int, int]:
        """The bytes and the layers that a commit ships."""
        dirty: set[int] = set()
        if layout is not self.layout:
            before = set(map(self._present, self.layout))
            dirty = {n for n, group in enumerate(layout) if self._present(group) not in before}
            self._take(layout)
        for target in set(touched) - self._there:
            self._there.add(target)
            self._weights[self._group[target]] += self._sizes[target]
        dirty.update(self._group[target] for target in touched)
        return sum(self._weights[number] for number in dirty), len(dirty)

    def _present(self, group: Iterable[str]) -> tuple[str, ...]:
        return tuple(target for target in group if target in self._there)


def fixed(layout: Layout) -> LayoutAt:
    """A layout that stays."""
    return lambda _number: layout


def folders(members: Iterable[Member], most: int) -> Layout:
    """A layer for each folder, as deep as there may be so many."""
    names = {member.name: member.package.split("/") for member in members}
    best: Layout = (tuple(sorted(names)),)
    for depth in range(1, max(map(len, names.values()), default=0) + 1):
        found: dict[tuple[str, ...], list[str]] = {}
        for name, parts in sorted(names.items()):
            found.setdefault(tuple(parts[:depth]), []).append(name)
        if len(found) > most:
            break
        best = tuple(map(tuple, found.values()))
    return best


def popularity(
    members: Iterable[Member], needs: Mapping[str, Collection[str]], most: int
) -> Layout:
    """A layer for each of those that most others need, and one for the rest, as Nix does."""
    counts = dependents(needs)
    order = sorted((m.name for m in members), key=lambda name: (-counts.get(name, 0), name))
    return (*((name,) for name in order[: most - 1]), tuple(sorted(order[most - 1 :])))


def dependents(needs: Mapping[str, Collection[str]]) -> Mapping[str, int]:
    """How many targets need each, directly or not."""
    users: dict[str, set[str]] = {}
    for name, below in needs.items():
        for each in below:
            users.setdefault(each, set()).add(name)
    counts = {}
    for name in users:
        found: set[str] = set()
        waiting = [name]
        while waiting:
            new = users.get(waiting.pop(), set()) - found
            found |= new
            waiting.extend(new)
        counts[name] = len(found - {name})
    return counts


def docker(members: Iterable[Member], needs: Mapping[str, Collection[str]]) -> Layout:
    """Third party code, what others need, and the rest; a base image would be a fourth below."""
    used = {below for name, lower in needs.items() for below in lower if below != name}
    found: dict[int, list[str]] = {0: [], 1: [], 2: []}
    for member in members:
        foreign = not THIRD_PARTY.isdisjoint(member.name.strip("/@").replace(":", "/").split("/"))
        found[0 if foreign else 1 if member.name in used else 2].append(member.name)
    return tuple(tuple(sorted(group)) for group in found.values() if group)
