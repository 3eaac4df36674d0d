"""The functions of a query that follow edges. None of them recurses, each looks at an edge once."""

from __future__ import annotations

from lamina.build.query.context import Context, Filter, Vertices
from lamina.build.query.graph import Form


def deps(
    context: Context, start: Vertices, depth: int | None = None, allowed: Filter | None = None
) -> Vertices:
    """The targets, and all that they depend on."""
    if allowed is not None:
        return _filtered(context, start, depth, allowed)
    if depth is None:
        return context.closure(start)
    return frozenset(context.graph.closure(start, depth))


def _filtered(context: Context, start: Vertices, depth: int | None, allowed: Filter) -> Vertices:
    """As `deps`, along those edges only that an expression allows for the vertex they start at."""
    seen, edge = set(start), list(start)
    while edge and depth != 0:
        beyond: dict[int, None] = {}
        for number in edge:
            chosen = allowed(number)
            steps = (step for step in context.graph.edges(number) if step in chosen)
            beyond.update(dict.fromkeys(step for step in steps if step not in seen))
        seen.update(beyond)
        edge = list(beyond)
        depth = None if depth is None else depth - 1
    return frozenset(seen)


def first_order_deps(context: Context) -> Vertices:
    """In the third argument of `deps`: what the target at hand depends on directly."""
    return frozenset() if context.at is None else frozenset(context.graph.edges(context.at))


def target_deps(context: Context) -> Vertices:
    """In the third argument of `deps`: all that the target at hand depends on."""
    if context.at is None:
        return frozenset()
    return context.closure(frozenset({context.at})) - {context.at}


def rdeps(
    context: Context, universe: Vertices, ends: Vertices, depth: int | None = None
) -> Vertices:
    """What depends on the targets, among a universe and all below it."""
    inside = context.closure(universe)
    return frozenset(context.graph.dependents(ends, inside, depth))


def allrdeps(context: Context, ends: Vertices, depth: int | None = None) -> Vertices:
    """What depends on the targets, in the whole workspace or the `--universe-scope`."""
    return rdeps(context, context.scope(), ends, depth)


def same_pkg_direct_rdeps(context: Context, ends: Vertices) -> Vertices:
    """The targets of the same build package that depend on the targets directly."""
    graph = context.graph
    found: set[int] = set()
    for number in ends:
        package = graph.package_of(number)
        if package is not None:
            rules = graph.rules_in(package)
            found.update(rule for rule in rules if number in graph.edges(rule))
    return frozenset(found)


def allpaths(context: Context, start: Vertices, ends: Vertices) -> Vertices:
    """The targets on every way from one to another."""
    return frozenset(context.graph.dependents(ends, context.closure(start)))


def somepath(context: Context, start: Vertices, ends: Vertices) -> list[int]:
    """The targets on one of the shortest ways from one to another, in its order."""
    graph = context.graph
    before: dict[int, int | None] = dict.fromkeys(_sorted(context, start))
    edge = list(before)
    while edge:
        reached = next((number for number in edge if number in ends), None)
        if reached is not None:
            return _traced(before, reached)
        beyond = []
        for number in edge:
            for step in graph.edges(number):
                if step not in before:
                    before[step] = number
                    beyond.append(step)
        edge = beyond
    return []


def _traced(before: dict[int, int | None], end: int) -> list[int]:
    path, here = [end], before[end]
    while here is not None:
        path.append(here)
        here = before[here]
    return path[::-1]


def some(context: Context, vertices: Vertices, count: int = 1) -> Vertices:
    """One of the targets, or so many; always the first by their labels."""
    return frozenset(_sorted(context, vertices)[:count])


def _sorted(context: Context, vertices: Vertices) -> list[int]:
    return sorted(vertices, key=context.graph.labels.__getitem__)


def inputs(context: Context, vertices: Vertices) -> Vertices:
    """The source files that the targets name themselves."""
    graph = context.graph
    below = {step for number in vertices for step in graph.edges(number)}
    return frozenset(step for step in below if graph.forms[step] is Form.SOURCE)
