from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lamina.build.picture.layers import Edge, acyclic, layers, reduced

EDGES = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=40)
DOWNWARDS = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=40).map(
    lambda edges: sorted({(min(e), max(e)) for e in edges if e[0] != e[1]})
)


def reach(edges: list[Edge]) -> set[Edge]:
    found = set(edges)
    while True:
        more = {(a, d) for a, b in found for c, d in edges if b == c} - found
        if not more:
            return found
        found |= more


@given(EDGES)
def test_circles_are_broken_and_nothing_else_is_turned(edges: list[Edge]) -> None:
    straight, turned = acyclic(12, edges)

    plain = {edge for edge in edges if edge[0] != edge[1]}
    assert {*straight, *((lower, upper) for upper, lower in turned)} == plain
    assert all(a != b for a, b in reach([*straight, *turned]))
    if all(a != b for a, b in reach(sorted(plain))):
        assert turned == []


@given(DOWNWARDS, st.integers(1, 12))
def test_every_edge_leads_downwards_and_every_box_is_in_one_layer(
    edges: list[Edge], widest: int
) -> None:
    rows = layers([1.0] * 12, edges, widest)

    place = {number: index for index, row in enumerate(rows) for number in row}
    assert sorted(number for row in rows for number in row) == list(range(12))
    assert all(place[upper] < place[lower] for upper, lower in edges)
    assert all(len(row) <= widest for row in rows)


@given(DOWNWARDS)
def test_the_reduced_edges_are_the_fewest_that_reach_the_same(edges: list[Edge]) -> None:
    kept = reduced(12, edges)

    assert set(kept) <= set(edges)
    assert reach(kept) == reach(edges)
    assert all(reach([other for other in kept if other != edge]) != reach(kept) for edge in kept)
