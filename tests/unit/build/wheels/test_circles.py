"""Circles in graphs, against their definition."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lamina.build.wheels.circles import circles

GRAPHS = st.dictionaries(
    st.sampled_from("abcdefg"), st.lists(st.sampled_from("abcdefg"), max_size=4), max_size=7
)


def reached(edges: dict[str, list[str]], start: str) -> set[str]:
    found: set[str] = set()
    waiting = list(edges.get(start, ()))
    while waiting:
        vertex = waiting.pop()
        if vertex not in found:
            found.add(vertex)
            waiting += edges.get(vertex, ())
    return found


@given(GRAPHS)
def test_a_circle_holds_all_that_reach_each_other(edges: dict[str, list[str]]) -> None:
    reach = {vertex: reached(edges, vertex) for vertex in "abcdefg"}
    expected = {tuple(sorted({v, *(w for w in reach[v] if v in reach[w])})) for v in "abcdefg"}

    assert sorted(circles(edges)) == sorted(group for group in expected if len(group) > 1)


def test_a_long_chain_is_no_burden() -> None:
    edges = {str(n): [str(n + 1)] for n in range(50_000)}

    assert circles(edges) == []
