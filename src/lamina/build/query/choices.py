"""The functions of a query that choose among targets, and those that name targets by attributes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from lamina.build.checks import granted
from lamina.build.declare import outputs
from lamina.build.query import values
from lamina.build.query.context import Context, Vertices
from lamina.build.query.graph import Form
from lamina.build.target import Target, labels_in
from lamina.build.testing import selection
from lamina.build.visibility import admits
from lamina.core.label import Label


def kind(context: Context, expression: re.Pattern[str], vertices: Vertices) -> Vertices:
    """Those whose kind matches: `cxx_library rule`, `source file`, `generated file`."""
    graph = context.graph
    files = {form for form in Form if expression.search(form.value)}
    rules: dict[str, bool] = {}

    def fits(number: int) -> bool:
        target = graph.rule(number)
        if target is None:
            return graph.forms[number] in files
        rule = target.rule
        known = rules.get(rule.name)
        if known is None:
            # A rule has the names of both dialects, and Buck writes them without ` rule`.
            every = [text for name in (rule.name, *rule.names) for text in (f"{name} rule", name)]
            known = rules[rule.name] = any(map(expression.search, every))
        return known

    return frozenset(filter(fits, vertices))


def filter_(context: Context, expression: re.Pattern[str], vertices: Vertices) -> Vertices:
    """Those whose label matches."""
    labels = context.graph.labels
    return frozenset(number for number in vertices if expression.search(str(labels[number])))


def attr(context: Context, name: str, expression: re.Pattern[str], vertices: Vertices) -> Vertices:
    """The rules whose attribute, as text, matches; a list is `[a, b]`, True is 1."""
    return _having(
        context,
        name,
        vertices,
        lambda value: any(map(expression.search, _told(values.texts(value)))),
    )


def _told(texts: list[str]) -> list[str]:
    return texts or [""]  # an attribute that is not set has an empty text


def attrfilter(context: Context, name: str, text: str, vertices: Vertices) -> Vertices:
    """The rules whose attribute is this text, or has it as an element."""
    return _having(context, name, vertices, lambda value: _is_or_has(value, text))


def nattrfilter(context: Context, name: str, text: str, vertices: Vertices) -> Vertices:
    """The rules whose attribute is not this text, nor has it as an element."""
    return _having(context, name, vertices, lambda value: not _is_or_has(value, text))


def attrregexfilter(
    context: Context, name: str, expression: re.Pattern[str], vertices: Vertices
) -> Vertices:
    """The rules of which an element of the attribute matches."""
    return _having(
        context, name, vertices, lambda value: any(map(expression.search, values.elements(value)))
    )


def _is_or_has(value: object, text: str) -> bool:
    return text in values.elements(value) or text in values.texts(value)


def _having(
    context: Context, name: str, vertices: Vertices, fits: Callable[[object], bool]
) -> Vertices:
    """The rules that have an attribute of this name which fits; a note where none has it."""
    found = []
    near: set[str] = set()
    met = False
    for number in vertices:
        target = context.graph.rule(number)
        if target is None:
            continue
        if _has(target, name):
            met = True
            if fits(values.value(target, name)):
                found.append(number)
        elif not met and len(near) < 1000:
            near.update(values.names(target))
    if near and not met:
        from lamina.build.faults import did_you_mean

        hint = did_you_mean(name, near)
        context.notes[f"none of these targets has an attribute `{name}`"] = None
        if hint:
            context.notes[f"hint: {hint}"] = None
    return frozenset(found)


def _has(target: Target, name: str) -> bool:
    return name in ("name", "visibility") or values.canonical(target, name) in target.attributes


def labels(context: Context, name: str, vertices: Vertices) -> Vertices:
    """What an attribute of the rules names: targets and files."""
    graph = context.graph
    found: set[int] = set()
    for number in vertices:
        target = graph.rule(number)
        if target is not None:
            found.update(map(graph.vertex, _labels(target, name)))
    return frozenset(found)


def _labels(target: Target, name: str) -> Iterable[Label]:
    if name in ("outs", "out"):  # names of files, not labels
        own = target.label
        return [Label(own.cell, own.package, path) for path in outputs(target)]
    return labels_in(values.value(target, name))


def executables(context: Context, vertices: Vertices) -> Vertices:
    """The programs and tests."""
    rule = context.graph.rule
    return frozenset(n for n in vertices if _rule_name(rule(n)).endswith(("_binary", "_test")))


def _rule_name(target: Target | None) -> str:
    return "" if target is None else target.rule.name


def is_test(target: Target | None) -> bool:
    """Whether a target is a test."""
    return target is not None and selection.is_test(target)


def tests(context: Context, vertices: Vertices) -> Vertices:
    """The tests among the targets, and those that their test suites stand for."""
    graph, found, seen = context.graph, set[int](), set(vertices)
    waiting = list(vertices)
    while waiting:
        number = waiting.pop()
        target = graph.rule(number)
        if is_test(target):
            found.add(number)
        elif target is not None and _is_suite(target):
            inside = _of_suite(context, target)
            waiting += [test for test in inside if test not in seen]
            seen.update(inside)
    return frozenset(found)


def _of_suite(context: Context, suite: Target) -> list[int]:
    """What a suite stands for: the tests it names, or all of its build package; by its tags."""
    graph = context.graph
    package = graph.package(suite.label.package, suite.label.cell)
    inside = list(map(graph.vertex, _labels(suite, "tests")))
    if not inside and package is not None:
        inside = [n for n in graph.rules_in(package) if _is_automatic(graph.rule(n))]
    wanted = _tags(suite) - {"manual"}
    rules = ((number, graph.rule(number)) for number in inside)
    return [n for n, rule in rules if _is_suite(rule) or _admitted(_tags(rule), wanted)]


def _is_automatic(target: Target | None) -> bool:
    return is_test(target) and "manual" not in _tags(target)


def _is_suite(target: Target | None) -> bool:
    return _rule_name(target) == "test_suite"


def _tags(target: Target | None) -> frozenset[str]:
    if target is None:
        return frozenset()
    size = target.attributes.get("size")
    tags = frozenset(values.elements(target.attributes.get("tags")))
    return tags | {size} if isinstance(size, str) and size and is_test(target) else tags


def _admitted(tags: frozenset[str], wanted: frozenset[str]) -> bool:
    """As in Bazel: it has all the wanted tags, and none of those with `-` before them."""
    unwanted = {tag[1:] for tag in wanted if tag.startswith("-")}
    needed = {tag.removeprefix("+") for tag in wanted if not tag.startswith("-")}
    return needed <= tags and not unwanted & tags


def testsof(context: Context, vertices: Vertices) -> Vertices:
    """The tests that the targets name as theirs, and those that depend on them directly."""
    graph = context.graph
    context.closure(context.scope())
    named = {n for n in labels(context, "tests", vertices) if is_test(graph.rule(n))}
    above = {parent for number in vertices for parent in graph.parents(number)}
    return frozenset(named | {number for number in above if is_test(graph.rule(number))})


def visible(context: Context, askers: Vertices, vertices: Vertices) -> Vertices:
    """Those that all of the first targets may depend on."""
    graph = context.graph
    asking = {(graph.labels[n].cell, graph.labels[n].package): graph.labels[n] for n in askers}
    exact = [graph.labels[number] for number in askers]

    def may(number: int) -> bool:
        label, shown = graph.labels[number], _visibility(context, number)
        # Patterns speak of build packages or of single targets; only the latter need each asker.
        several = any(":" in entry and not entry.endswith(":all") for entry in shown)
        return all(
            admits(shown, label, asker) or granted(graph.loader, shown, asker)
            for asker in (exact if several else asking.values())
        )

    return frozenset(filter(may, vertices))


def _visibility(context: Context, number: int) -> tuple[str, ...]:
    target = context.graph.targets[number]
    if target is not None:
        return target.visibility
    package = context.graph.package_of(number)
    return () if package is None else package.exports.get(context.graph.labels[number].name, ())
