"""What the words of a query stand for: patterns, labels of targets and files, paths."""

from __future__ import annotations

from collections.abc import Callable

from lamina.build import resolve
from lamina.build.disk import join
from lamina.build.faults import Fault, FaultReport
from lamina.build.query.graph import Form, Graph, label_of
from lamina.core.errors import UserError
from lamina.core.label import Label, Pattern

_WITH_FILES = (":*", ":all-targets")


class Words:
    """Looks words up, each once."""

    def __init__(
        self, graph: Graph, parse: Callable[[str], Pattern], here: str, *, keep_going: bool = False
    ) -> None:
        """`parse` reads a pattern as typed in the folder `here`.

        With `keep_going`, what is wrong is kept in `skipped`, and the rest goes on.
        """
        self.skipped: list[Fault] = []
        self._graph = graph
        self._parse = parse
        self._here = here
        self.keep_going = keep_going
        self._known: dict[str, frozenset[int]] = {}

    def vertices(self, text: str) -> frozenset[int]:
        """The vertices that a word chooses; raises UserError."""
        found = self._known.get(text)
        if found is None:
            found = self._known[text] = frozenset(self._look_up(text))
        return found

    def path(self, text: str) -> str:
        """A path as typed, from the root of the workspace; a label of a file will do as well."""
        if text.startswith(("//", "@", ":")):
            label = self._parse(text).label
            if label is not None:
                return self._graph.loader.path(label)
        root = f"{self._graph.loader.workspace.root}/"
        return text.removeprefix(root) if text.startswith("/") else join(self._here, text)

    def _look_up(self, text: str) -> list[int]:
        if "//" not in text and ":" not in text:
            path = join(self._here, text)
            if self._graph.loader.view.has_file(path):
                return [self._graph.vertex(label_of(self._graph.loader, path))]
        with_files = text.endswith(_WITH_FILES)
        pattern = self._parse(f"{text.rpartition(':')[0]}:all" if with_files else text)
        if pattern.subtract:
            raise UserError(f"`{text}` takes away", hint="write `… - …`")
        try:
            return self._chosen(pattern, with_files)
        except FaultReport as report:
            if not self.keep_going:
                raise
            self.skipped.extend(report.faults)
            return []

    def _chosen(self, pattern: Pattern, with_files: bool) -> list[int]:
        graph, loader = self._graph, self._graph.loader
        if pattern.label is not None:
            return [self._one(pattern.label)]
        if pattern.cell and not loader.cells.has(pattern.cell):
            raise FaultReport([resolve.no_cell(pattern.cell)])
        names = resolve.below(loader, pattern) if pattern.recursive else [pattern.package]
        found: list[int] = []
        faults: list[Fault] = []
        for name in names:
            package = graph.package(name, pattern.cell)
            if package is not None:
                found += graph.everything_in(package) if with_files else graph.rules_in(package)
            else:
                faults += self._faults(name, pattern.cell)
        if faults and not self.keep_going:
            raise FaultReport(faults)
        self.skipped += faults
        return found

    def _faults(self, name: str, cell: str) -> list[Fault]:
        """Why a build package is not there."""
        broken = self._graph.broken.get(self._graph.loader.cells.folder(cell, name))
        if broken is not None:
            return list(broken.faults)
        return [resolve.missing_package(self._graph.loader, name, cell)]

    def _one(self, label: Label) -> int:
        number = self._graph.vertex(label)
        if self._graph.forms[number] is Form.MISSING:
            broken = self._graph.broken.get(
                self._graph.loader.cells.folder(label.cell, label.package)
            )
            raise broken or FaultReport([resolve.missing(self._graph.loader, label)])
        return number
