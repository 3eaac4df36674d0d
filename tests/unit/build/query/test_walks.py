"""Walks over random graphs against an oracle that follows the definitions word by word."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.build import workspace
from lamina.build.loader import Loader
from lamina.build.query.evaluate import evaluate
from lamina.build.query.graph import Graph
from lamina.build.query.words import Words
from lamina.core.label import Pattern

Edges = dict[int, set[int]]


@st.composite
def _graphs(draw: st.DrawFn) -> Edges:
    """Each target depends on some with a smaller number."""
    count = draw(st.integers(2, 9))
    return {
        n: draw(st.sets(st.integers(0, n - 1), max_size=4)) if n else set() for n in range(count)
    }


def _paths(edges: Edges, start: int) -> list[list[int]]:
    """Every way down from a target."""
    found = [[start]]
    for path in found:
        found += [[*path, below] for below in edges[path[-1]]]
    return found


def _below(edges: Edges, start: set[int], depth: int) -> set[int]:
    return {path[-1] for n in start for path in _paths(edges, n) if len(path) <= depth + 1}


class _Workspace:
    """A filegroup for each target, over three build packages."""

    def __init__(self, folder: str, edges: Edges) -> None:
        texts = dict.fromkeys(("p0", "p1", "p2"), "")
        for number, below in edges.items():
            deps = [_label(other) for other in sorted(below)]
            texts[f"p{number % 3}"] += (
                f"filegroup(name = 't{number}', srcs = {deps}, visibility = ['PUBLIC'])\n"
            )
        root = Path(folder)
        (root / "lamina.toml").write_text("")
        for name, text in texts.items():
            (root / name).mkdir()
            (root / name / "BUILD").write_text(text)
        self.graph = Graph(Loader(workspace.read(root)))
        self.words = Words(self.graph, Pattern.parse, "")

    def __call__(self, query: str) -> list[int]:
        answer = evaluate(query, self.words, self.graph)
        return [int(self.graph.labels[number].name[1:]) for number in answer.vertices]


def _label(number: int) -> str:
    return f"//p{number % 3}:t{number}"


def _set(numbers: set[int]) -> str:
    return f"set({' '.join(map(_label, sorted(numbers)))})"


@settings(max_examples=60)
@given(st.data(), _graphs())
def test_walks_agree_with_their_definitions(data: st.DataObject, edges: Edges) -> None:
    some = st.sets(st.sampled_from(sorted(edges)), min_size=1, max_size=3)
    start, ends, depth = data.draw(some), data.draw(some), data.draw(st.integers(0, 4))
    below = _below(edges, start, 9)
    paths = [path for n in start for path in _paths(edges, n) if path[-1] in ends]
    above = {n for n in edges if _below(edges, {n}, depth) & ends}

    with tempfile.TemporaryDirectory() as folder:
        ask = _Workspace(folder, edges)

        assert set(ask(f"deps({_set(start)})")) == below
        assert set(ask(f"deps({_set(start)}, {depth})")) == _below(edges, start, depth)
        assert set(ask(f"rdeps(//..., {_set(ends)}, {depth})")) == above
        assert set(ask(f"allrdeps({_set(ends)}, {depth})")) == above
        assert set(ask(f"rdeps({_set(start)}, {_set(ends)})")) == {
            n for n in below if _below(edges, {n}, 9) & ends
        }
        assert set(ask(f"allpaths({_set(start)}, {_set(ends)})")) == {n for p in paths for n in p}
        path = ask(f"somepath({_set(start)}, {_set(ends)})")
        assert (path in paths and len(path) == min(map(len, paths))) if paths else path == []
        assert set(ask(f"deps({_set(start)}, {depth}, first_order_deps())")) == _below(
            edges, start, depth
        )
        assert set(ask(f"same_pkg_direct_rdeps({_set(ends)})")) == {
            n for n in edges for end in ends if end in edges[n] and n % 3 == end % 3
        }
        assert set(ask(f"{_set(start)} + {_set(ends)} - deps({_set(ends)}) ^ //...")) == (
            (start | ends) - _below(edges, ends, 9)
        )


def test_a_chain_of_thousands_is_walked(tmp_path: Path) -> None:
    edges = {n: ({n - 1} if n else set[int]()) for n in range(5000)}
    ask = _Workspace(str(tmp_path), edges)

    assert len(ask(f"deps({_label(4999)})")) == 5000
    assert len(ask(f"somepath({_label(4999)}, {_label(0)})")) == 5000
