"""Targets and files as numbers, with the edges between them, loaded as far as they are asked for.

A vertex is a rule's target, a source file, a file that a rule makes, or a label of which nothing is
there. Nothing is decided: the labels of all branches of a `select()` count, and its conditions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from enum import Enum

from lamina.build import resolve
from lamina.build.buildpackage import BuildPackage
from lamina.build.disk import join
from lamina.build.faults import Fault, FaultReport
from lamina.build.loader import Loader
from lamina.build.selects import is_open
from lamina.build.target import Target, labels_in
from lamina.core.classes import dataclass
from lamina.core.label import Label


class Form(Enum):
    """What a vertex is; the value says it to people."""

    RULE = "rule"
    SOURCE = "source file"
    GENERATED = "generated file"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Edges:
    """Which dependencies count."""

    implicit: bool = True  # those that the BUILD file does not write
    tools: bool = True  # those that run while building


ALL_EDGES = Edges()
_TOOLS = frozenset({"tools", "exec_tools", "toolchains"})


class Graph:
    """The vertices met so far; a vertex's number never changes, and its edges are found once."""

    def __init__(self, loader: Loader, which: Edges = ALL_EDGES) -> None:
        self.loader = loader
        self.labels: list[Label] = []
        self.forms: list[Form] = []
        self.targets: list[Target | None] = []  # of a generated file, the one that makes it
        self.broken: dict[str, FaultReport] = {}  # folders of packages that cannot be loaded
        self._which = which
        self._numbers: dict[Label, int] = {}
        self._edges: list[tuple[int, ...] | None] = []
        self._parents: list[list[int]] = []
        self._packages: dict[tuple[str, str], BuildPackage | None] = {}

    def __len__(self) -> int:
        return len(self.labels)

    def vertex(self, label: Label) -> int:
        """The number of a label."""
        number = self._numbers.get(label)
        return self._add(label) if number is None else number

    def known(self, label: Label) -> int | None:
        """The number of a label that was met, None for any other."""
        return self._numbers.get(label)

    def rule(self, number: int) -> Target | None:
        """The target that a vertex is, None for a file."""
        return self.targets[number] if self.forms[number] is Form.RULE else None

    def edges(self, number: int) -> tuple[int, ...]:
        """What a vertex depends on directly, in declared order."""
        found = self._edges[number]
        if found is None:
            found = self._edges[number] = tuple(map(self.vertex, self._mentions(number)))
            for below in found:
                self._parents[below].append(number)
        return found

    def parents(self, number: int) -> Sequence[int]:
        """What depends on a vertex directly, of the vertices whose edges were asked for."""
        return self._parents[number]

    def package(self, name: str, cell: str = "") -> BuildPackage | None:
        """A build package; None where there is none, or none that can be loaded."""
        key = (cell, name)
        if key not in self._packages:
            self._packages[key] = self._load(name, cell)
        return self._packages[key]

    def package_of(self, number: int) -> BuildPackage | None:
        """The build package that a vertex is in."""
        label = self.labels[number]
        return self.package(label.package, label.cell)

    @property
    def packages(self) -> Iterator[BuildPackage]:
        """The build packages met so far."""
        return (package for package in self._packages.values() if package is not None)

    def rules_in(self, package: BuildPackage) -> list[int]:
        """The targets of a build package, in the order of its BUILD file."""
        return [self.vertex(target.label) for target in package.targets.values()]

    def everything_in(self, package: BuildPackage) -> list[int]:
        """Its targets, all files that they name in it, and its BUILD file."""
        rules = self.rules_in(package)
        own = (package.cell, package.name)
        files = [Label(*own, package.build_file.rpartition("/")[2])]
        files += [Label(*own, name) for name in (*package.exports, *package.generated)]
        inside = [
            self.vertex(label)
            for target in package.targets.values()
            for label in target.dependencies()
            if (label.cell, label.package) == own
        ]
        found = dict.fromkeys([*rules, *inside, *map(self.vertex, files)])
        return [number for number in found if self.forms[number] is not Form.MISSING]

    def file(self, path: str) -> int:
        """The vertex of a file by its path from the root of the workspace."""
        return self.vertex(label_of(self.loader, path))

    def closure(self, start: Iterable[int], depth: int | None = None) -> set[int]:
        """Some vertices and all that they depend on, in so many steps if that is limited."""
        return _walk(self.edges, start, depth)

    def dependents(
        self, start: Iterable[int], inside: Collection[int], depth: int | None = None
    ) -> set[int]:
        """Those of some vertices that are in a closure, and all in there that depend on them."""
        parents = self._parents
        return _walk(
            lambda number: [n for n in parents[number] if n in inside],
            [number for number in start if number in inside],
            depth,
        )

    def faults(self, numbers: Iterable[int]) -> tuple[list[Fault], list[Fault]]:
        """What is wrong with labels of which nothing is there; and what harms no build.

        The latter are those that only branches of a `select()` name.
        """
        wrong: list[Fault] = []
        harmless: list[Fault] = []
        for number in numbers:
            label = self.labels[number]
            for parent in self._parents[number]:
                target = self.targets[parent]
                if target is not None:
                    kept = harmless if _only_in_selects(target, label) else wrong
                    kept.extend(self._faults(label, target))
        return wrong, harmless

    def _faults(self, label: Label, target: Target) -> Sequence[Fault]:
        if self.loader.cells.is_absent(label.cell):
            return ()
        broken = self.broken.get(self.loader.cells.folder(label.cell, label.package))
        if broken is not None:
            return broken.faults
        fault = resolve.missing(self.loader, label)
        return [Fault(self.loader.place(target, label), fault.message, fault.hint)]

    def _add(self, label: Label) -> int:
        number = self._numbers[label] = len(self.labels)
        form, target = self._what(label)
        self.labels.append(label)
        self.forms.append(form)
        self.targets.append(target)
        self._edges.append(() if target is None else None)
        self._parents.append([])
        return number

    def _what(self, label: Label) -> tuple[Form, Target | None]:
        package = self.package(label.package, label.cell)
        if package is None:
            return Form.MISSING, None
        target = package.targets.get(label.name)
        if target is not None:
            return Form.RULE, target
        target = package.generated.get(label.name)
        if target is not None:
            return Form.GENERATED, target
        if self._is_file(package, label.name):
            return Form.SOURCE, None
        target = resolve.unknown_maker(package, label.name)
        return (Form.GENERATED if target else Form.MISSING), target

    def _is_file(self, package: BuildPackage, name: str) -> bool:
        view, folder = self.loader.view, package.folder
        path = join(folder, name)
        if not view.has_file(path) and (not view.has_folder(path) or view.build_file(path)):
            return False
        parts = name.split("/")[:-1]
        return not any(
            view.build_file(join(folder, "/".join(parts[: count + 1])))
            for count in range(len(parts))
        )

    def _mentions(self, number: int) -> Iterable[Label]:
        target = self.targets[number]
        if target is None:
            return ()
        if self.forms[number] is Form.GENERATED:
            return (target.label,)
        if self._which != ALL_EDGES:
            return self._some_mentions(target)
        if target.selects:
            return dict.fromkeys((*target.dependencies(), *target.conditions()))
        return target.dependencies()

    def _some_mentions(self, target: Target) -> Iterable[Label]:
        """The labels of those attributes that count."""
        found: dict[Label, None] = {}
        for name, value in target.attributes.items():
            implicit = name not in target.given
            if (self._which.implicit or not implicit) and (self._which.tools or name not in _TOOLS):
                found.update(dict.fromkeys(labels_in(value)))
        return (*found, *(label for label in target.conditions() if label not in found))

    def _load(self, name: str, cell: str) -> BuildPackage | None:
        if cell and not self.loader.cells.has(cell):
            return None
        if not self.loader.is_package(name, cell):
            return None
        try:
            return self.loader.package(name, cell)
        except FaultReport as report:
            self.broken[self.loader.cells.folder(cell, name)] = report
            return None


def _walk(
    steps: Callable[[int], Iterable[int]], start: Iterable[int], depth: int | None
) -> set[int]:
    seen = set(start)
    edge = list(seen)
    while edge and depth != 0:
        beyond = []
        for number in edge:
            for step in steps(number):
                if step not in seen:
                    seen.add(step)
                    beyond.append(step)
        edge = beyond
        depth = None if depth is None else depth - 1
    return seen


def label_of(loader: Loader, path: str) -> Label:
    """The label of a file of the workspace: in the nearest build package at or above it."""
    folder = path.rpartition("/")[0]
    while folder and not loader.view.build_file(folder):
        folder = folder.rpartition("/")[0]
    cell, package = loader.cells.owner(folder)
    return Label(cell, package, path[len(folder) + 1 :] if folder else path)


def _only_in_selects(target: Target, label: Label) -> bool:
    return not any(
        label in labels_in(value) for value in target.attributes.values() if not is_open(value)
    ) and bool(target.selects)
