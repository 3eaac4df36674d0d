"""Cuts items into groups so that the expected bytes shipped for a commit are few.

What is sought is the partition into at most K groups with the least

    sum over groups of (size + overhead) x (sum over commits of weight x [group touched] + prior
    x members)

Finding it is NP-hard, so there is a start that merges the cheapest pairs, and then a search that
moves one item at a time as long as the exact cost falls. All is counted in integers: no machine
rounds another way, and one problem has one answer.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Collection, Iterable, Sequence

from lamina.core.classes import dataclass

Groups = tuple[tuple[int, ...], ...]  # of the numbers of items; both levels ascending

_SPARE = 150  # clusters beyond K that are merged pair by pair; more are put together before
_PASSES = 6  # of the search over all items
_WORK = 20_000_000  # groups looked at in one search, about a second: counted, as clocks differ
_ENOUGH = 200  # the search ends where a pass saves less than one part in so many


@dataclass(frozen=True, slots=True)
class Item:
    """What is never split: the files of one target."""

    size: int  # bytes
    commits: tuple[int, ...] = ()  # the numbers of those that touch it, ascending


@dataclass(frozen=True, slots=True)
class Problem:
    """Items, and how much the commits that touched them count."""

    items: tuple[Item, ...]
    weights: tuple[int, ...]  # of the commits, by number
    overhead: int  # bytes that each group costs besides its items
    prior: int  # weight of the commits that are to be expected for each item anyway
    most: int  # groups


@dataclass(slots=True)
class _Cluster:
    """Items that are together, while pairs are merged."""

    size: int  # with the overhead
    weight: int  # of its commits and priors
    commits: frozenset[int]
    items: list[int]


def cost(problem: Problem, groups: Iterable[Sequence[int]]) -> int:
    """What the groups cost, in bytes x weight; divided by all weight it is bytes for a commit."""
    total = 0
    for group in groups:
        if group:
            commits = {c for number in group for c in problem.items[number].commits}
            weight = sum(problem.weights[c] for c in commits) + problem.prior * len(group)
            total += weight * (
                problem.overhead + sum(problem.items[number].size for number in group)
            )
    return total


def solve(problem: Problem) -> Groups:
    """Groups from nothing: merged pairs, then the search; none is empty."""
    state = _State(problem, _merged(problem))
    state.improve(range(len(problem.items)))
    return tuple(sorted(tuple(group) for group in state.slots() if group))


def adapt(
    problem: Problem, groups: Sequence[Sequence[int]], loose: Collection[int], horizon: int
) -> list[list[int]]:
    """Groups that were, changed where that pays within a horizon of so many commits.

    `loose` are the items to begin with: those of which something new is known. A changed group has
    to be shipped once as a whole. Each stays at its place in the sequence, also an empty one; there
    are as many as there may be.
    """
    careful, free = _State(problem, groups), _State(problem, groups)
    # One move alone seldom pays for the two groups that it changes, many moves together may.
    careful.improve(loose, horizon)
    free.improve(loose)
    found = [list(map(sorted, groups)), careful.slots(), free.slots()]
    return min(found, key=lambda slots: _over(problem, groups, slots, horizon))


def _over(
    problem: Problem, before: Sequence[Sequence[int]], slots: Sequence[Sequence[int]], horizon: int
) -> int:
    """What groups cost over a horizon, shipping once those that are not as before included."""
    moved = sum(
        problem.overhead + sum(problem.items[item].size for item in now)
        for was, now in zip(before, slots, strict=True)
        if now and sorted(was) != sorted(now)
    )
    return cost(problem, slots) * horizon + moved * sum(problem.weights)


class _State:
    """Groups in the middle of a search; there are always as many as there may be."""

    def __init__(self, problem: Problem, groups: Iterable[Sequence[int]]) -> None:
        self._problem = problem
        self._left = _WORK
        self._all_weight = sum(problem.weights)
        self._sizes = [problem.overhead] * problem.most
        self._weights = [0] * problem.most
        self._place = [-1] * len(problem.items)
        # For each commit the groups it touches, with the number of items that it touches there.
        self._touched: list[dict[int, int]] = [{} for _ in problem.weights]
        self._own = [
            sum(problem.weights[c] for c in item.commits) + problem.prior for item in problem.items
        ]
        for number, group in enumerate(groups):
            for item in group:
                self._put(item, number)

    def slots(self) -> list[list[int]]:
        """The items of each group by its place; some are empty."""
        found: list[list[int]] = [[] for _ in self._sizes]
        for item, group in enumerate(self._place):
            found[group].append(item)
        return found

    def improve(self, loose: Collection[int], horizon: int = 0) -> None:
        """Move items as long as that pays; with a horizon, within it and for all that it moves.

        What has moved lets those move again that are changed together with it.
        """
        order = self._by_cost()
        clean = [horizon > 0] * self._problem.most
        waiting = set(loose)
        now = self._cost()
        for _ in range(_PASSES):
            moved = []
            for item in order:
                if item in waiting and self._left > 0 and self._move(item, clean, horizon):
                    moved.append(item)
            before, now = now, self._cost()
            if (before - now) * _ENOUGH < before:
                return
            waiting = self._near(moved)

    def _cost(self) -> int:
        return sum(map(operator.mul, self._sizes, self._weights))

    def _near(self, moved: Collection[int]) -> set[int]:
        commits = {c for item in moved for c in self._problem.items[item].commits}
        return {
            number
            for number, item in enumerate(self._problem.items)
            if not commits.isdisjoint(item.commits)
        }

    def _by_cost(self) -> list[int]:
        items, own = self._problem.items, self._own
        return sorted(range(len(items)), key=lambda number: -items[number].size * own[number])

    def _move(self, item: int, clean: list[bool], horizon: int) -> bool:
        """Whether an item has moved to where it costs less."""
        home = self._place[item]
        before = self._sizes[home] * self._weights[home]
        self._take(item)
        saved = before - self._sizes[home] * self._weights[home]
        added, best = self._best(item)
        gain = saved - added
        dirtied = sum(self._sizes[group] for group in (home, best) if clean[group])
        if best == home or gain <= 0 or gain * horizon < dirtied * self._all_weight:
            self._put(item, home)
            return False
        self._put(item, best)
        clean[home] = clean[best] = False
        return True

    def _best(self, item: int) -> tuple[int, int]:
        """What it costs to put an item where that is least, and the group."""
        size, own = self._problem.items[item].size, self._own[item]
        shared = [0] * len(self._sizes)  # weight of the commits that touch both item and group
        for commit in self._problem.items[item].commits:
            weight, touched = self._problem.weights[commit], self._touched[commit]
            self._left -= len(touched)
            for group in touched:
                shared[group] += weight
        self._left -= len(shared)
        groups = zip(self._sizes, self._weights, shared, strict=True)
        added = [s * (own - common) + size * (w - common) for s, w, common in groups]
        least = min(added)
        return least + size * own, added.index(least)

    def _put(self, item: int, group: int) -> None:
        self._place[item] = group
        self._sizes[group] += self._problem.items[item].size
        self._weights[group] += self._problem.prior
        for commit in self._problem.items[item].commits:
            touched = self._touched[commit]
            if group not in touched:
                self._weights[group] += self._problem.weights[commit]
            touched[group] = touched.get(group, 0) + 1

    def _take(self, item: int) -> None:
        group = self._place[item]
        self._place[item] = -1
        self._sizes[group] -= self._problem.items[item].size
        self._weights[group] -= self._problem.prior
        for commit in self._problem.items[item].commits:
            touched = self._touched[commit]
            touched[group] -= 1
            if not touched[group]:
                del touched[group]
                self._weights[group] -= self._problem.weights[commit]


def _merged(problem: Problem) -> list[list[int]]:
    """At most K groups, made by merging the pair that costs least again and again."""
    clusters = _clusters(problem)
    near = [_nearest(problem, clusters, number) for number in range(len(clusters))]
    alive = len(clusters)
    while alive > problem.most:
        first = min(
            (n for n, found in enumerate(near) if found), key=lambda n: (near[n] or (0, 0), n)
        )
        second = (near[first] or (0, 0))[1]
        a, b = clusters[first], clusters[second]
        assert a is not None and b is not None
        clusters[first], clusters[second] = _union(problem, a, b), None
        near[second] = None
        alive -= 1
        _renew(problem, clusters, near, first, second)
    return [cluster.items for cluster in clusters if cluster is not None]


_Near = tuple[int, int] | None  # what it costs to merge with the nearest later one, and that one


def _renew(
    problem: Problem, clusters: Sequence[_Cluster | None], near: list[_Near], new: int, gone: int
) -> None:
    """Find again the nearest of those whose nearest has changed."""
    merged = clusters[new]
    assert merged is not None
    for number, found in enumerate(near):
        cluster = clusters[number]
        if cluster is None or number > gone:
            continue
        if number == new or (found and found[1] in (new, gone)) or found is None:
            near[number] = _nearest(problem, clusters, number)
        elif number < new and found:
            near[number] = min(found, (_price(problem, cluster, merged), new))


def _nearest(problem: Problem, clusters: Sequence[_Cluster | None], number: int) -> _Near:
    mine = clusters[number]
    assert mine is not None
    best: _Near = None
    for further, other in enumerate(clusters[number + 1 :]):
        # Looking for what two share takes longest: not where it could not help however much it is.
        if other is not None and (best is None or _least(problem, mine, other) < best[0]):
            found = (_price(problem, mine, other), number + 1 + further)
            best = found if best is None else min(best, found)
    return best


def _least(problem: Problem, a: _Cluster, b: _Cluster) -> int:
    """The same at least: as if all commits of one were among those of the other."""
    size = a.size + b.size - problem.overhead
    return size * max(a.weight, b.weight) - a.size * a.weight - b.size * b.weight


def _price(problem: Problem, a: _Cluster, b: _Cluster) -> int:
    """What two clusters cost more when they are one."""
    shared = sum(map(problem.weights.__getitem__, a.commits & b.commits))
    size = a.size + b.size - problem.overhead
    return size * (a.weight + b.weight - shared) - a.size * a.weight - b.size * b.weight


def _union(problem: Problem, a: _Cluster, b: _Cluster) -> _Cluster:
    shared = sum(map(problem.weights.__getitem__, a.commits & b.commits))
    return _Cluster(
        a.size + b.size - problem.overhead,
        a.weight + b.weight - shared,
        a.commits | b.commits,
        a.items + b.items,
    )


def _clusters(problem: Problem) -> list[_Cluster | None]:
    """Items that the same commits touch, together; of the cheap ones several."""
    same: dict[tuple[int, ...], list[int]] = {}
    for number, item in enumerate(problem.items):
        same.setdefault(item.commits, []).append(number)
    cold = _pieces(problem, same.pop((), []))
    found = [_cluster(problem, commits, items) for commits, items in same.items()]
    found += [_cluster(problem, (), items) for items in cold]
    found.sort(key=lambda cluster: (-cluster.size * cluster.weight, cluster.items))
    room = problem.most + _SPARE
    if len(found) > room:
        dear, cheap = found[: room - _SPARE // 2], found[room - _SPARE // 2 :]
        # Those that the same new commits touched come to lie side by side.
        cheap.sort(key=lambda cluster: (sorted(cluster.commits, reverse=True), cluster.items))
        step = -(-len(cheap) // (_SPARE // 2))
        found = dear + [
            _all(problem, cheap[start : start + step]) for start in range(0, len(cheap), step)
        ]
    return list(found)


def _pieces(problem: Problem, cold: list[int]) -> list[list[int]]:
    """Items that nothing has touched, in parts that are about as dear; large ones with large."""
    cold = sorted(cold, key=lambda item: -problem.items[item].size)
    share = sum(math.isqrt(problem.items[item].size) for item in cold) // problem.most + 1
    pieces: dict[int, list[int]] = {}
    reached = 0
    for item in cold:
        pieces.setdefault(reached // share, []).append(item)
        reached += math.isqrt(problem.items[item].size)
    return list(pieces.values())


def _all(problem: Problem, clusters: Sequence[_Cluster]) -> _Cluster:
    commits = sorted(set().union(*(cluster.commits for cluster in clusters)))
    return _cluster(problem, tuple(commits), [item for each in clusters for item in each.items])


def _cluster(problem: Problem, commits: tuple[int, ...], items: list[int]) -> _Cluster:
    size = problem.overhead + sum(problem.items[item].size for item in items)
    weight = sum(problem.weights[c] for c in commits) + problem.prior * len(items)
    return _Cluster(size, weight, frozenset(commits), items)
