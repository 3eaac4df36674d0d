"""Orders of a part of the graph: dependents first, and how far from the top a vertex is.

Circles are taken as one vertex, so that every order ends: a query may well be made to find one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lamina.build.query.graph import Graph
from lamina.core.classes import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """Some vertices of a graph, by label, and the edges between them."""

    vertices: tuple[int, ...]
    edges: dict[int, tuple[int, ...]]

    @classmethod
    def of(cls, graph: Graph, vertices: Sequence[int]) -> Part:
        """The part that some vertices are."""
        inside = frozenset(vertices)
        return cls(
            tuple(sorted(inside, key=graph.labels.__getitem__)),
            {n: tuple(step for step in graph.edges(n) if step in inside) for n in inside},
        )


def topological(part: Part) -> list[int]:
    """The vertices, each before those that it depends on."""
    return [number for circle in circles(part) for number in circle]


def circles(part: Part) -> list[list[int]]:
    """The strongly connected components, dependents first; most are one vertex.

    Tarjan's algorithm with a stack of its own: chains are thousands long.
    """
    found: list[list[int]] = []
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    path: list[int] = []
    on_path: set[int] = set()
    for start in reversed(part.vertices):
        if start in index:
            continue
        stack: list[tuple[int, Iterator[int]]] = []
        _open(start, part, index, low, path, on_path, stack)
        while stack:
            number, steps = stack[-1]
            step = next(steps, None)
            if step is None:
                stack.pop()
                if stack:
                    low[stack[-1][0]] = min(low[stack[-1][0]], low[number])
                if low[number] == index[number]:
                    found.append(_close(number, path, on_path))
            elif step not in index:
                _open(step, part, index, low, path, on_path, stack)
            elif step in on_path:
                low[number] = min(low[number], index[step])
    return found[::-1]


def _open(
    number: int,
    part: Part,
    index: dict[int, int],
    low: dict[int, int],
    path: list[int],
    on_path: set[int],
    stack: list[tuple[int, Iterator[int]]],
) -> None:
    index[number] = low[number] = len(index)
    path.append(number)
    on_path.add(number)
    stack.append((number, iter(reversed(part.edges[number]))))


def _close(number: int, path: list[int], on_path: set[int]) -> list[int]:
    circle: list[int] = []
    while not circle or circle[-1] != number:
        circle.append(path.pop())
    on_path.difference_update(circle)
    return circle[::-1]


def ranks(part: Part, *, longest: bool) -> dict[int, int]:
    """How many steps each vertex is from a vertex that none in the part depends on.

    By the longest way or by the shortest; what is in one circle has one rank.
    """
    groups = circles(part)
    group_of = {number: index for index, group in enumerate(groups) for number in group}
    found: list[int | None] = [None] * len(groups)
    for index, group in enumerate(groups):
        rank = found[index] = found[index] or 0
        for number in group:
            for step in part.edges[number]:
                below = group_of[step]
                if below != index:
                    found[below] = _further(found[below], rank + 1, longest=longest)
    return {number: found[group] or 0 for number, group in group_of.items()}


def _further(known: int | None, rank: int, *, longest: bool) -> int:
    if known is None:
        return rank
    return max(known, rank) if longest else min(known, rank)
