"""Workspaces that queries are put to, with the rules there really are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from lamina.build import workspace
from lamina.build.loader import Loader
from lamina.build.query.evaluate import Answer, evaluate
from lamina.build.query.graph import ALL_EDGES, Edges, Graph
from lamina.build.query.words import Words
from lamina.core.label import Pattern


class Asked:
    """`asked("deps(//:a)")` gives the labels of the answer; the last one is kept whole."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader
        self.graph = Graph(loader)
        self.answer: Answer | None = None

    def __call__(
        self,
        text: str,
        *,
        here: str = "",
        scope: str = "",
        edges: Edges = ALL_EDGES,
        keep_going: bool = False,
    ) -> list[str]:
        self.graph = Graph(self.loader, edges)
        words = Words(
            self.graph, lambda word: Pattern.parse(word, here), here, keep_going=keep_going
        )
        self.answer = evaluate(text, words, self.graph, scope=scope)
        labels = [str(self.graph.labels[number]) for number in self.answer.vertices]
        return labels if self.answer.ordered else sorted(labels)


Ask = Callable[[Mapping[str, str]], Asked]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Write files into a fresh workspace, and give what answers queries."""

    def write(files: Mapping[str, str]) -> Asked:
        for name, text in {"lamina.toml": "", **files}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return Asked(Loader(workspace.read(tmp_path)))

    return write
