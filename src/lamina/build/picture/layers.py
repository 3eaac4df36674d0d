"""Which layer of a picture each box lies in: above all that it depends on, near to its neighbours.

Layers that would be far wider than the rest are split, so that a picture has the shape of a page.
"""

from __future__ import annotations

from collections.abc import Sequence

Edge = tuple[int, int]


def acyclic(count: int, edges: Sequence[Edge]) -> tuple[list[Edge], list[Edge]]:
    """The edges in two parts without loops: those that close circles come turned round.

    Both parts together have no circle.
    """
    steps: list[list[int]] = [[] for _ in range(count)]
    for upper, lower in edges:
        if upper != lower:
            steps[upper].append(lower)
    closing = _closing(steps)
    kept = dict.fromkeys(edge for edge in edges if edge[0] != edge[1] and edge not in closing)
    return list(kept), sorted((lower, upper) for upper, lower in closing)


def _closing(steps: list[list[int]]) -> set[Edge]:
    """The edges that lead back to where a walk came from."""
    found: set[Edge] = set()
    state = [0] * len(steps)  # 0 not met, 1 on the path, 2 done
    has_parent = {lower for below in steps for lower in below}
    order = sorted(range(len(steps)), key=lambda number: number in has_parent)
    for start in order:
        stack = [(start, iter(steps[start]))] if not state[start] else []
        state[start] = state[start] or 1
        while stack:
            number, below = stack[-1]
            step = next(below, None)
            if step is None:
                state[number] = 2
                stack.pop()
            elif state[step] == 1:
                found.add((number, step))
            elif not state[step]:
                state[step] = 1
                stack.append((step, iter(steps[step])))
    return found


def layers(widths: Sequence[float], edges: Sequence[Edge], widest: float) -> list[list[int]]:
    """The boxes of each layer; every edge leads from a layer to a lower one."""
    count = len(widths)
    parents: list[list[int]] = [[] for _ in range(count)]
    children: list[list[int]] = [[] for _ in range(count)]
    for upper, lower in edges:
        children[upper].append(lower)
        parents[lower].append(upper)
    order = _order(parents, children)
    rank = [0] * count
    for number in order:
        rank[number] = max((rank[parent] + 1 for parent in parents[number]), default=0)
    # Down to its children goes what has more of them than it has parents: its lines get shorter.
    for number in reversed(order):
        if children[number] and len(children[number]) > len(parents[number]):
            rank[number] = min(rank[child] for child in children[number]) - 1
    rows: list[list[int]] = [[] for _ in range(max(rank, default=-1) + 1)]
    for number in range(count):
        rows[rank[number]].append(number)
    pull = [len(children[number]) - len(parents[number]) for number in range(count)]
    return [part for row in rows if row for part in _split(row, widths, pull, widest)]


def _order(parents: list[list[int]], children: list[list[int]]) -> list[int]:
    """The boxes, each before those it leads to."""
    left = [len(above) for above in parents]
    order = [number for number, above in enumerate(left) if not above]
    for number in order:  # it grows on the way
        for child in children[number]:
            left[child] -= 1
            if not left[child]:
                order.append(child)
    return order


def _split(
    row: list[int], widths: Sequence[float], pull: list[int], widest: float
) -> list[list[int]]:
    """A layer in as many parts as its width asks for; what has more below goes lower."""
    total = sum(widths[number] for number in row)
    parts = min(len(row), int(total / widest) + 1)
    if parts == 1:
        return [row]
    ordered = sorted(row, key=lambda number: pull[number])
    size = -(-len(row) // parts)
    return [ordered[start : start + size] for start in range(0, len(row), size)]


def reduced(count: int, edges: Sequence[Edge]) -> list[Edge]:
    """The edges without those that a longer way says as well; there must be no circle."""
    parents: list[list[int]] = [[] for _ in range(count)]
    children: list[list[int]] = [[] for _ in range(count)]
    for upper, lower in edges:
        children[upper].append(lower)
        parents[lower].append(upper)
    below = [0] * count  # the boxes that can be reached, as bits
    for number in reversed(_order(parents, children)):
        for child in children[number]:
            below[number] |= below[child] | (1 << child)
    kept = []
    for upper, lower in edges:
        others = (below[child] for child in children[upper] if child != lower)
        if not any(reach >> lower & 1 for reach in others):
            kept.append((upper, lower))
    return kept
