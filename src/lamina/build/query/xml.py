"""The answer to a query as XML, in the form that Bazel's `--output=xml` has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from xml.sax.saxutils import quoteattr

from lamina.build.declare import outputs
from lamina.build.query import values
from lamina.build.query.graph import Form, Graph
from lamina.build.selects import leaves
from lamina.build.target import Target
from lamina.core.label import Label


def lines(vertices: list[int], graph: Graph, places: Mapping[int, str]) -> Iterator[str]:
    """A whole document."""
    yield '<?xml version="1.1" encoding="UTF-8" standalone="no"?>'
    yield '<query version="2">'
    for number in vertices:
        target, label, where = graph.targets[number], graph.labels[number], places[number]
        start = f"location={quoteattr(where)} name={quoteattr(str(label))}"
        if graph.forms[number] is Form.SOURCE or target is None:
            yield f"  <source-file {start}/>"
        elif graph.forms[number] is Form.GENERATED:
            maker = quoteattr(str(target.label))
            yield f"  <generated-file generating-rule={maker} {start}/>"
        else:
            yield f"  <rule class={quoteattr(target.rule.name)} {start}>"
            yield from _rule(target, [graph.labels[step] for step in graph.edges(number)])
            yield "  </rule>"
    yield "</query>"


def _rule(target: Target, below: list[Label]) -> Iterator[str]:
    for name in values.names(target):
        if name in ("name", "visibility") or name in target.given:
            for leaf in leaves(values.value(target, name)):
                yield from _value(leaf, f" name={quoteattr(name)}", "    ")
    for label in below:
        yield f"    <rule-input name={quoteattr(str(label))}/>"
    for path in outputs(target):
        made = Label(target.label.cell, target.label.package, path)
        yield f"    <rule-output name={quoteattr(str(made))}/>"


def _value(value: object, name: str, indent: str) -> Iterator[str]:
    if isinstance(value, tuple) and any(map(values.is_entry, value)):
        yield f"{indent}<dict{name}>"
        for key, inner in map(values.entry, value):
            yield f"{indent}  <pair>"
            yield from _value(key, "", f"{indent}    ")
            yield from _value(inner, "", f"{indent}    ")
            yield f"{indent}  </pair>"
        yield f"{indent}</dict>"
    elif isinstance(value, tuple):
        yield f"{indent}<list{name}>"
        for element in value:
            short = element[1] if isinstance(element, tuple) and len(element) > 1 else element
            yield from _value(short, "", f"{indent}  ")
        yield f"{indent}</list>"
    elif value is not None:
        yield f"{indent}<{_tag(value)}{name} value={quoteattr(_text(value))}/>"


def _tag(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "int"
    return "label" if isinstance(value, Label) else "string"


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
