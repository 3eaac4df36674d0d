"""Circles in a graph: its strongly connected parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence


def circles(edges: Mapping[str, Sequence[str]]) -> list[tuple[str, ...]]:
    """The largest sets of several vertices each of which is above all others of its set, sorted.

    Tarjan's way, without recursion: a vertex is the root of a set where nothing below it leads to
    what was met before it.
    """
    return _Search(edges).found


class _Search:
    def __init__(self, edges: Mapping[str, Sequence[str]]) -> None:
        self._edges = edges
        self._number: dict[str, int] = {}
        self._low: dict[str, int] = {}
        self._stack: dict[str, None] = {}
        self.found: list[tuple[str, ...]] = []
        for vertex in edges:
            if vertex not in self._number:
                self._walk(vertex)

    def _enter(self, vertex: str) -> tuple[str, Iterator[str]]:
        self._number[vertex] = self._low[vertex] = len(self._number)
        self._stack[vertex] = None
        return vertex, iter(self._edges.get(vertex, ()))

    def _walk(self, start: str) -> None:
        path = [self._enter(start)]
        while path:
            vertex, rest = path[-1]
            below = next(rest, None)
            if below is None:
                path.pop()
                self._leave(vertex)
                if path:
                    above = path[-1][0]
                    self._low[above] = min(self._low[above], self._low[vertex])
            elif below not in self._number:
                path.append(self._enter(below))
            elif below in self._stack:
                self._low[vertex] = min(self._low[vertex], self._number[below])

    def _leave(self, vertex: str) -> None:
        if self._low[vertex] != self._number[vertex]:
            return
        members = []
        while True:
            member, _ = self._stack.popitem()
            members.append(member)
            if member == vertex:
                break
        if len(members) > 1:
            self.found.append(tuple(sorted(members)))
