from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lamina.build.query.order import Part, circles, ranks, topological

_EDGES = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30)


def part(edges: list[tuple[int, int]]) -> Part:
    below = {n: tuple(b for a, b in edges if a == n) for n in range(10)}
    return Part(tuple(range(10)), below)


def reach(edges: list[tuple[int, int]], start: int) -> set[int]:
    found: set[int] = set()
    waiting = [start]
    while waiting:
        waiting += [b for a, b in edges if a == waiting[0] and b not in found]
        found.update(b for a, b in edges if a == waiting[0])
        waiting.pop(0)
    return found


@given(_EDGES)
def test_circles_hold_what_reaches_itself_both_ways(edges: list[tuple[int, int]]) -> None:
    expected = {
        frozenset(
            {n} | {m for m in reach(edges, n) if n in reach(edges, m)},
        )
        for n in range(10)
    }

    assert {frozenset(circle) for circle in circles(part(edges))} == expected


@given(_EDGES)
def test_dependents_come_first_unless_there_is_a_circle(edges: list[tuple[int, int]]) -> None:
    place = {number: index for index, number in enumerate(topological(part(edges)))}

    assert len(place) == 10
    assert all(place[a] < place[b] for a, b in edges if a not in reach(edges, b))


@given(_EDGES)
def test_ranks_are_the_longest_and_the_shortest_way_from_a_root(
    edges: list[tuple[int, int]],
) -> None:
    down = [(a, b) for a, b in edges if a < b]
    longest, shortest = [0] * 10, [0] * 10
    for n in range(10):
        above = [a for a, b in down if b == n]
        longest[n] = max((longest[a] + 1 for a in above), default=0)
        shortest[n] = min((shortest[a] + 1 for a in above), default=0)

    assert [ranks(part(down), longest=True)[n] for n in range(10)] == longest
    assert [ranks(part(down), longest=False)[n] for n in range(10)] == shortest


def test_what_is_in_a_circle_has_one_rank() -> None:
    found = ranks(part([(0, 1), (1, 2), (2, 1), (2, 3)]), longest=True)

    assert [found[n] for n in range(4)] == [0, 1, 1, 2]
