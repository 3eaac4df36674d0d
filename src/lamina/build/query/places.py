"""Where targets are declared, for many at once: each BUILD file is read a single time."""

from __future__ import annotations

from ast import Call, Constant
from collections.abc import Iterable

from lamina.build.faults import Place
from lamina.build.locations import SourceMap
from lamina.build.query.graph import Graph


def places(graph: Graph, numbers: Iterable[int]) -> dict[int, str]:
    """`path:line:column` of each vertex, absolute; of a file that is made, where its rule is."""
    found: dict[int, str] = {}
    files: dict[str, dict[str, list[Place]]] = {}
    loader = graph.loader
    for number in numbers:
        target, package = graph.targets[number], graph.package_of(number)
        if target is None or package is None:
            found[number] = f"{_absolute(graph, loader.path(graph.labels[number]))}:1:1"
            continue
        known = files.get(package.build_file)
        if known is None:
            known = files[package.build_file] = _named(graph, package.build_file)
        named = known.get(target.label.name, [])
        # Of what a macro makes, or several calls may have made, only evaluation tells the place.
        place = named[0] if len(named) == 1 else loader.place(target)
        found[number] = str(Place(_absolute(graph, place.path), place.line, place.column))
    return found


def _absolute(graph: Graph, path: str) -> str:
    return graph.loader.workspace.locate(path)


def _named(graph: Graph, path: str) -> dict[str, list[Place]]:
    """The calls of a BUILD file that have a name, by it."""
    with open(_absolute(graph, path), encoding="utf-8") as file:  # noqa: PTH123 - it has no Path
        source = SourceMap(path, file.read())
    found: dict[str, list[Place]] = {}
    for call in source.calls():
        name = _name(call)
        if name:
            found.setdefault(name, []).append(source.place(call))
    return found


def _name(call: Call) -> str:
    for keyword in call.keywords:
        if keyword.arg == "name" and isinstance(keyword.value, Constant):
            return str(keyword.value.value)
    return ""
