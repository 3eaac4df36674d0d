"""The functions of a query about files and about the files that declare targets."""

from __future__ import annotations

from collections.abc import Iterable

from lamina.build.buildpackage import BuildPackage
from lamina.build.faults import Fault, FaultReport, Place
from lamina.build.query.context import Context, Vertices
from lamina.build.query.graph import Form, label_of
from lamina.core.errors import UserError


def buildfiles(context: Context, vertices: Vertices) -> Vertices:
    """The BUILD files of the targets, the .bzl files they load, and the BUILD files of these."""
    loaded = loadfiles(context, vertices)
    return buildfile(context, vertices) | loaded | buildfile(context, loaded)


def buildfile(context: Context, vertices: Vertices) -> Vertices:
    """The BUILD files of the targets."""
    return _files(context, (package.build_file for package in _packages(context, vertices)))


def loadfiles(context: Context, vertices: Vertices) -> Vertices:
    """The .bzl files that the BUILD files of the targets load, directly or not."""
    return _files(context, (path for found in _packages(context, vertices) for path in found.loads))


def rbuildfiles(context: Context, paths: list[str]) -> Vertices:
    """The BUILD files that are, or that load, one of some files."""
    context.closure(context.scope())
    wanted = {context.words.path(path) for path in paths}
    hits = [found.build_file for found in context.graph.packages if wanted & found.inputs]
    return _files(context, hits)


def siblings(context: Context, vertices: Vertices) -> Vertices:
    """All targets and files of the build packages of the targets."""
    graph = context.graph
    return frozenset(
        n for found in _packages(context, vertices) for n in graph.everything_in(found)
    )


def targets_in_buildfile(context: Context, paths: list[str]) -> Vertices:
    """The targets that BUILD files declare."""
    found: set[int] = set()
    for text in paths:
        path = context.words.path(text)
        package = _at(context, path)
        if package is None or package.build_file != path:
            raise UserError(f"`{text}` is no BUILD file of a build package")
        found.update(context.graph.rules_in(package))
    return frozenset(found)


def owner(context: Context, paths: list[str]) -> Vertices:
    """The targets of its build package that name a file."""
    graph = context.graph
    found: set[int] = set()
    for text in paths:
        path = context.words.path(text)
        package = _at(context, path)
        number = graph.file(path)
        if package is None or graph.forms[number] is Form.MISSING:
            raise FaultReport([Fault(Place(""), f"no file `{path}`, or none of a build package")])
        found.update(rule for rule in graph.rules_in(package) if number in graph.edges(rule))
    return frozenset(found)


def _at(context: Context, path: str) -> BuildPackage | None:
    label = label_of(context.graph.loader, path)
    return context.graph.package(label.package, label.cell)


def _packages(context: Context, vertices: Vertices) -> list[BuildPackage]:
    graph = context.graph
    names = {(graph.labels[number].package, graph.labels[number].cell) for number in vertices}
    found = (graph.package(*name) for name in sorted(names))
    return [package for package in found if package is not None]


def _files(context: Context, paths: Iterable[str]) -> Vertices:
    return frozenset(context.graph.file(path) for path in set(paths))
