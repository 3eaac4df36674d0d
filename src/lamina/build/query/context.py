"""What the functions of a query work on."""

from __future__ import annotations

from collections.abc import Callable

from lamina.build.query.graph import Graph
from lamina.build.query.words import Words
from lamina.core.classes import dataclass, field

Vertices = frozenset[int]
Filter = Callable[[int], Vertices]  # what an expression is for one vertex of a walk


@dataclass(slots=True)
class Context:
    """The graph, what words mean in it, and what there is to tell beside the answer."""

    graph: Graph
    words: Words
    scope: Callable[[], Vertices]  # the universe of functions that are given none
    notes: dict[str, None] = field(default_factory=dict)
    closures: dict[Vertices, frozenset[int]] = field(default_factory=dict)
    at: int | None = None  # the vertex that a filter is asked about

    def closure(self, start: Vertices) -> frozenset[int]:
        """Some vertices and all that they depend on; found once."""
        found = self.closures.get(start)
        if found is None:
            found = self.closures[start] = frozenset(self.graph.closure(start))
        return found
