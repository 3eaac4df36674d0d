"""Which targets a change can touch: from changed files upwards to all that rests on them.

A BUILD or .bzl file that changed is evaluated as it was and as it is, and targets that are the same
in both are not touched. What cannot be told is taken for touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from lamina.build.buildpackage import BuildPackage
from lamina.build.disk import BUILD_NAMES, join
from lamina.build.faults import FaultReport
from lamina.build.loader import Loader
from lamina.build.past import Difference, above
from lamina.build.query.graph import Form, Graph, label_of
from lamina.build.target import Target
from lamina.core.label import Label


def affected(
    graph: Graph, vertices: frozenset[int], difference: Difference, past: Loader
) -> Mapping[int, str]:
    """The vertices of a closure that are touched, and for each a changed file that touches it.

    `past` loads build packages as they were before.
    """
    whole = sorted(difference.files.intersection(graph.loader.workspace.files))
    if whole:
        return dict.fromkeys(vertices, whole[0])
    touched = dict(sorted(_Search(graph, difference, past).directly().items()))
    waiting = list(touched)
    for number in waiting:  # it grows on the way
        for parent in graph.parents(number):
            if parent not in touched:
                touched[parent] = touched[number]
                waiting.append(parent)
    return {number: cause for number, cause in touched.items() if number in vertices}


class _Search:
    """Finds the vertices that a changed file touches directly."""

    def __init__(self, graph: Graph, difference: Difference, past: Loader) -> None:
        self._graph = graph
        self._difference = difference
        self._past = past
        self._folders_moved = {
            folder: path
            for path in sorted(difference.moved, reverse=True)
            for folder in ("", *above(path))
        }
        self._borders = {
            path.rpartition("/")[0]: path
            for path in sorted(difference.moved)
            if path.rpartition("/")[2] in BUILD_NAMES
        }
        self._touched: dict[int, str] = {}

    def directly(self) -> dict[int, str]:
        """The vertices, each with the file that touches it."""
        for path in sorted(self._difference.files):
            self._touch(self._named(path), path)
        suspects = {
            (package.cell, package.name): (package, cause)
            for package in list(self._graph.packages)
            if (cause := self._suspicion(package))
        }
        for package, cause in suspects.values():
            self._touch(self._changed(package), cause)
        self._missing({key: cause for key, (_, cause) in suspects.items()})
        if self._difference.folders:
            self._inside()
        return self._touched

    def _touch(self, numbers: Iterable[int], cause: str) -> None:
        for number in numbers:
            self._touched.setdefault(number, cause)

    def _named(self, path: str) -> Iterator[int]:
        """A file, and the folders of its build package that it lies in, where targets name them."""
        label = label_of(self._graph.loader, path)
        for name in (label.name, *above(label.name)):
            number = self._graph.known(Label(label.cell, label.package, name))
            if number is not None:
                yield number

    def _suspicion(self, package: BuildPackage) -> str:
        """A changed file that a build package may be another for, or ""."""
        read = package.inputs & self._difference.files
        if read:
            return min(read)
        listed = package.directories & self._folders_moved.keys()
        return min((self._folders_moved[folder] for folder in listed), default="")

    def _changed(self, package: BuildPackage) -> list[int]:
        """The targets of a build package that are not what they were."""
        try:
            before = self._past.package(package.name, package.cell)
        except FaultReport:
            return self._graph.rules_in(package)  # nothing can be told
        loads_changed = not self._difference.files.isdisjoint((*package.loads, *before.loads))
        changed = [
            target.label
            for name, target in package.targets.items()
            if not _same(before.targets.get(name), target, loads_changed)
        ]
        changed += [
            Label(package.cell, package.name, name)
            for name in (*_gone(before, package), *_shown_otherwise(before, package))
        ]
        known = map(self._graph.known, changed)
        return [number for number in known if number is not None]

    def _missing(self, suspects: Mapping[tuple[str, str], str]) -> None:
        """Labels of which nothing is there, where that may be new."""
        graph = self._graph
        for number, form in enumerate(graph.forms):
            if form is not Form.MISSING:
                continue
            label = graph.labels[number]
            path = graph.loader.path(label)
            folders = [graph.loader.cells.folder(label.cell, label.package), *above(path)]
            causes = [self._borders[folder] for folder in folders if folder in self._borders]
            if path in self._difference.files:
                causes.append(path)
            if (label.cell, label.package) in suspects:
                causes.append(suspects[label.cell, label.package])
            if folders[0] in graph.broken:
                causes.append(graph.broken[folders[0]].faults[0].place.path)
            if causes:
                self._touch([number], min(causes))

    def _inside(self) -> None:
        """All below folders of which no more is known."""
        graph = self._graph
        for number, label in enumerate(graph.labels):
            path = join(graph.loader.cells.folder(label.cell, label.package), label.name)
            for folder in ("", *above(path)):
                if folder in self._difference.folders:
                    self._touch([number], folder)


def _same(before: Target | None, now: Target, loads_changed: bool) -> bool:
    if before is None or before.rule.name != now.rule.name:
        return False
    if before.rule is not now.rule and loads_changed:
        return False  # a rule that a .bzl file defines: what it does is written there
    return (
        before.attributes == now.attributes
        and before.visibility == now.visibility
        and before.given == now.given
    )


def _gone(before: BuildPackage, now: BuildPackage) -> set[str]:
    """Names that were targets or made files: what still uses them means something else by them."""
    was = before.targets.keys() | before.generated.keys()
    return was - now.targets.keys() - now.generated.keys()


def _shown_otherwise(before: BuildPackage, now: BuildPackage) -> set[str]:
    """Source files that others may use, or may use no more."""
    return {name for name, _ in before.exports.items() ^ now.exports.items()}
