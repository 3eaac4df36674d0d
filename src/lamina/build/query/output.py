"""The answer to a query as lines of text, in the forms that tools read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from lamina.build.query import order, values
from lamina.build.query.evaluate import Answer
from lamina.build.query.graph import Form, Graph
from lamina.build.query.places import places
from lamina.build.target import Target
from lamina.core.classes import dataclass, field

ORDERS = ("auto", "deps", "full", "no")


@dataclass(frozen=True, slots=True)
class Style:
    """How to show an answer."""

    output: str = "label"  # a key of FORMS
    order: str = "auto"
    attributes: tuple[re.Pattern[str], ...] = ()  # names of those that JSON shows; none: all given
    because: Mapping[int, str] = field(default_factory=dict)  # what JSON tells of vertices beside


def lines(answer: Answer, graph: Graph, style: Style) -> Iterator[str]:
    """The answer in a form; the same answer always gives the same lines."""
    return FORMS[style.output](_ordered(answer, graph, style), graph, style)


def _ordered(answer: Answer, graph: Graph, style: Style) -> list[int]:
    if style.order in ("deps", "full"):
        return order.topological(order.Part.of(graph, answer.vertices))
    if answer.ordered:
        return answer.vertices
    return sorted(answer.vertices, key=graph.labels.__getitem__)


def kind(graph: Graph, number: int) -> str:
    """What a vertex is: `python_library rule`, `source file`, `generated file`."""
    target = graph.rule(number)
    return graph.forms[number].value if target is None else f"{target.rule.name} rule"


def _label(vertices: list[int], graph: Graph, _style: Style) -> Iterator[str]:
    return (str(graph.labels[number]) for number in vertices)


def _label_kind(vertices: list[int], graph: Graph, _style: Style) -> Iterator[str]:
    return (f"{kind(graph, number)} {graph.labels[number]}" for number in vertices)


def _package(vertices: list[int], graph: Graph, _style: Style) -> Iterator[str]:
    names = {graph.labels[number].home.removeprefix("//") for number in vertices}
    return iter(sorted(names))


def _location(vertices: list[int], graph: Graph, _style: Style) -> Iterator[str]:
    where = places(graph, vertices)
    return (f"{where[number]}: {kind(graph, number)} {graph.labels[number]}" for number in vertices)


def _build(vertices: list[int], graph: Graph, _style: Style) -> Iterator[str]:
    rules = [number for number in vertices if graph.forms[number] is Form.RULE]
    where = places(graph, rules)
    for number in rules:
        target = graph.targets[number]
        assert target is not None
        yield f"# {where[number]}"
        yield f"{target.rule.name}("
        yield f"    name = {values.written(target.label.name)},"
        if target.visibility:
            yield f"    visibility = {values.written(_visibility(target))},"
        for name, value in target.attributes.items():
            if name in target.given and value is not None:
                yield f"    {name} = {values.written(value)},"
        yield ")"
        yield ""


def _visibility(target: Target) -> tuple[str, ...]:
    """As both dialects write it."""
    words = {"PUBLIC": "//visibility:public", "PRIVATE": "//visibility:private"}
    return tuple(words.get(entry, entry) for entry in target.visibility)


def _jsonl(vertices: list[int], graph: Graph, style: Style) -> Iterator[str]:
    for number in vertices:
        fields = _fields(graph, number, style)
        if number in style.because:
            fields["because"] = style.because[number]
        yield json.dumps(fields, ensure_ascii=False)


def _json(vertices: list[int], graph: Graph, style: Style) -> Iterator[str]:
    if not vertices:
        yield "[]"
        return
    last = len(vertices) - 1
    for index, line in enumerate(_jsonl(vertices, graph, style)):
        yield f"{'[' if index == 0 else ' '}{line}{']' if index == last else ','}"


def _fields(graph: Graph, number: int, style: Style) -> dict[str, Any]:
    label, target = str(graph.labels[number]), graph.targets[number]
    if target is None:
        return {"label": label, "kind": graph.forms[number].value}
    if graph.forms[number] is Form.GENERATED:
        return {"label": label, "kind": Form.GENERATED.value, "maker": str(target.label)}
    return {
        "label": label,
        "kind": "rule",
        "rule": target.rule.name,
        "dependencies": [str(graph.labels[step]) for step in graph.edges(number)],
        "attributes": _attributes(target, style),
    }


def _attributes(target: Target, style: Style) -> dict[str, Any]:
    shown = (name for name in values.names(target) if _is_shown(target, name, style))
    return {name: values.plain(values.value(target, name)) for name in shown}


def _is_shown(target: Target, name: str, style: Style) -> bool:
    if style.attributes:
        return any(expression.search(name) for expression in style.attributes)
    return name in target.given or (name == "visibility" and bool(target.visibility))


def _graph(vertices: list[int], graph: Graph, _style: Style) -> Iterator[str]:
    part = order.Part.of(graph, vertices)
    yield "digraph lamina {"
    yield "  node [shape=box];"
    for number in order.topological(part):
        yield f"  {_quoted(graph, number)}"
        for step in part.edges[number]:
            yield f"  {_quoted(graph, number)} -> {_quoted(graph, step)}"
    yield "}"


def _quoted(graph: Graph, number: int) -> str:
    return '"' + str(graph.labels[number]).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _ranked(vertices: Sequence[int], graph: Graph, *, longest: bool) -> Iterator[str]:
    part = order.Part.of(graph, vertices)
    found = order.ranks(part, longest=longest)
    by_rank = sorted(part.vertices, key=found.__getitem__)
    return (f"{found[number]} {graph.labels[number]}" for number in by_rank)


def _minrank(vertices: list[int], graph: Graph, _style: Style) -> Iterator[str]:
    return _ranked(vertices, graph, longest=False)


def _maxrank(vertices: list[int], graph: Graph, _style: Style) -> Iterator[str]:
    return _ranked(vertices, graph, longest=True)


def _xml(vertices: list[int], graph: Graph, _style: Style) -> Iterator[str]:
    from lamina.build.query import xml  # seldom asked for

    where = places(graph, vertices)
    return xml.lines(vertices, graph, where)


Formatter = Callable[[list[int], Graph, Style], Iterator[str]]
FORMS: Mapping[str, Formatter] = MappingProxyType(
    {
        "label": _label,
        "label_kind": _label_kind,
        "package": _package,
        "location": _location,
        "build": _build,
        "json": _json,
        "jsonl": _jsonl,
        "graph": _graph,
        "dot": _graph,
        "minrank": _minrank,
        "maxrank": _maxrank,
        "xml": _xml,
    }
)
