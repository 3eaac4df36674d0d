from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from lamina.build.picture.layers import Edge
from lamina.build.picture.layout import lay_out

SIZES = st.lists(st.tuples(st.integers(40, 200), st.integers(20, 90)), min_size=1, max_size=14)


@given(SIZES, st.lists(st.tuples(st.integers(0, 13), st.integers(0, 13)), max_size=40))
def test_boxes_lie_apart_and_within_the_picture(
    sizes: list[tuple[float, float]], pairs: list[Edge]
) -> None:
    edges = [edge for edge in pairs if max(edge) < len(sizes)]

    layout = lay_out(sizes, edges)

    boxes = [(x, y, x + w, y + h) for (x, y), (w, h) in zip(layout.places, sizes, strict=True)]
    for index, (left, top, right, bottom) in enumerate(boxes):
        assert left > -1e-6
        assert top > -1e-6
        assert right < layout.width + 1e-6
        assert bottom < layout.height + 1e-6
        assert all(
            right + 10 < other[0] or other[2] + 10 < left or bottom < other[1] or other[3] < top
            for other in boxes[:index]
        )  # fmt: skip


@given(SIZES, st.lists(st.tuples(st.integers(0, 13), st.integers(0, 13)), max_size=40))
def test_lines_lead_from_each_box_to_what_it_depends_on(
    sizes: list[tuple[float, float]], pairs: list[Edge]
) -> None:
    edges = {edge for edge in pairs if max(edge) < len(sizes) and edge[0] < edge[1]}

    layout = lay_out(sizes, sorted(edges))

    for source, target in edges:
        pieces = [line for line in layout.lines if line.target == target and source in line.sources]
        x = layout.places[source][0] + sizes[source][0] / 2
        here = (x, layout.places[source][1] + sizes[source][1])
        while pieces:
            [piece] = [
                p for p in pieces if abs(p.start[0] - here[0]) + abs(p.start[1] - here[1]) < 0.01
            ]
            pieces.remove(piece)
            here = piece.end
        assert abs(here[0] - layout.places[target][0] - sizes[target][0] / 2) < 0.01
        assert abs(here[1] - layout.places[target][1]) < 0.01


def test_a_tree_has_no_crossings_and_stands_below_its_root() -> None:
    layout = lay_out([(50, 30)] * 7, [(0, 1), (0, 2), (1, 3), (1, 4), (2, 5), (2, 6)])

    middle = {n: x + 25 for n, (x, _) in enumerate(layout.places)}
    assert abs(middle[0] - (middle[1] + middle[2]) / 2) < 2
    assert sorted(range(3, 7), key=middle.__getitem__) in ([3, 4, 5, 6], [4, 3, 5, 6], [3, 4, 6, 5],
        [4, 3, 6, 5], [5, 6, 3, 4], [6, 5, 3, 4], [5, 6, 4, 3], [6, 5, 4, 3])  # fmt: skip


def test_a_chain_stands_straight() -> None:
    layout = lay_out([(50 + n, 30) for n in range(9)], [(n, n + 1) for n in range(8)])

    middles = [x + (50 + n) / 2 for n, (x, _) in enumerate(layout.places)]
    assert max(middles) - min(middles) < 1


def test_the_same_graph_always_gives_the_same_picture() -> None:
    edges = [(n, m) for n in range(20) for m in range(n + 1, 20) if (n * m) % 5 == 1]

    assert lay_out([(60, 30)] * 20, edges) == lay_out([(60, 30)] * 20, edges)


def test_a_thousand_boxes_take_seconds_at_most() -> None:
    edges = [(n, m) for n in range(1000) for m in (n + 7, n + 31) if m < 1000]
    begun = time.process_time()

    lay_out([(60, 30)] * 1000, edges)

    assert time.process_time() - begun < 20
