"""Evaluates queries: each part of an expression becomes a set of vertices."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping

from lamina.build.faults import Fault, FaultReport, did_you_mean
from lamina.build.query.context import Context, Filter, Vertices
from lamina.build.query.functions import FUNCTIONS, Function, Takes
from lamina.build.query.graph import Form, Graph
from lamina.build.query.syntax import (
    Call,
    Chain,
    Expression,
    Let,
    QueryFault,
    SetOf,
    Variable,
    Word,
    calls,
    parse,
)
from lamina.build.query.words import Words
from lamina.core.classes import dataclass
from lamina.core.errors import UserError

Bound = Mapping[str, Vertices]
UNIVERSE = "//..."
_NONE: Bound = {}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query gave."""

    vertices: list[int]  # no label of which nothing is there
    ordered: bool  # a path, whose order means something
    notes: list[str]  # what a person may want to know
    skipped: list[Fault]  # what is wrong and was passed by, as asked


def evaluate(text: str, words: Words, graph: Graph, *, scope: str = "") -> Answer:
    """The answer to a query; raises QueryFault for what is wrong in it, else FaultReport."""
    return _Evaluation(text, words, graph, scope).answer()


class _Evaluation:
    def __init__(self, text: str, words: Words, graph: Graph, scope: str) -> None:
        self._text = text
        self._words = words
        self._graph = graph
        self._context = Context(graph, words, self._scope(scope))

    def answer(self) -> Answer:
        expression = parse(self._text)
        for call in calls(expression):  # before anything is loaded
            self._count(call, self._function(call))
        found = self._value(expression, _NONE)
        ordered = not isinstance(found, frozenset)
        wrong, notes = self._missing()
        if wrong and not self._words.keep_going:
            raise FaultReport(wrong)
        forms = self._graph.forms
        vertices = [number for number in found if forms[number] is not Form.MISSING]
        skipped = list(dict.fromkeys([*self._words.skipped, *wrong]))
        return Answer(vertices, ordered, [*self._context.notes, *notes], skipped)

    def _scope(self, text: str) -> Callable[[], Vertices]:
        """What `--universe-scope` chooses: patterns with commas or blanks between them."""

        def look() -> Vertices:
            patterns = [word for word in re.split(r"[,\s]+", text or UNIVERSE) if word]
            return frozenset[int]().union(*map(self._words.vertices, patterns))

        return look

    def _missing(self) -> tuple[list[Fault], list[str]]:
        """What is wrong with the labels met that are of nothing."""
        forms = self._graph.forms
        numbers = [number for number, form in enumerate(forms) if form is Form.MISSING]
        wrong, harmless = self._graph.faults(numbers)
        return wrong, [f"warning: {fault}" for fault in harmless]

    def _value(self, expression: Expression, bound: Bound) -> Collection[int]:
        if isinstance(expression, Word):
            return self._word(expression)
        if isinstance(expression, Call):
            return self._call(expression, bound)
        if isinstance(expression, Chain):
            return self._chain(expression, bound)
        if isinstance(expression, SetOf):
            return frozenset[int]().union(*map(self._word, expression.words))
        if isinstance(expression, Let):
            value = self._nodes(expression.value, bound)
            return self._value(expression.body, {**bound, expression.name: value})
        return self._variable(expression, bound)

    def _nodes(self, expression: Expression, bound: Bound) -> Vertices:
        return frozenset(self._value(expression, bound))

    def _word(self, word: Word) -> Vertices:
        with _Blamed(self._text, word.at):
            return self._words.vertices(word.text)

    def _variable(self, variable: Variable, bound: Bound) -> Vertices:
        if variable.name not in bound:
            hint = did_you_mean(variable.name, bound, "`let x = … in …` gives one", "${}")
            message = f"there is no variable `{variable}`"
            raise QueryFault(self._text, variable.at, message, hint)
        return bound[variable.name]

    def _chain(self, chain: Chain, bound: Bound) -> Vertices:
        found = set(self._value(chain.first, bound))
        for sign, operand in chain.rest:
            other = self._value(operand, bound)
            if sign == "+":
                found.update(other)
            elif sign == "-":
                found.difference_update(other)
            else:
                found.intersection_update(other)
        return frozenset(found)

    def _call(self, call: Call, bound: Bound) -> Collection[int]:
        function = FUNCTIONS[call.name]
        arguments = list(self._arguments(call, function, bound))
        with _Blamed(self._text, call.at):
            return function.run(self._context, *arguments)

    def _function(self, call: Call) -> Function:
        function = FUNCTIONS.get(call.name)
        if function is None:
            hint = did_you_mean(call.name, FUNCTIONS, "functions: " + ", ".join(FUNCTIONS))
            message = f"there is no function `{call.name}`"
            raise QueryFault(self._text, call.at, message, hint)
        return function

    def _count(self, call: Call, function: Function) -> None:
        most = len(function.arguments)
        given = len(call.arguments)
        if given < most - function.optional or (given > most and not function.many):
            needed = str(most) if not function.optional else f"{most - function.optional} to {most}"
            needed = f"{most} or more" if function.many else needed
            noun = "argument" if needed == "1" else "arguments"
            message = f"`{call.name}` takes {needed} {noun}, not {given}"
            hint = f"`{function.shown(call.name)}`: {function.doc}"
            raise QueryFault(self._text, call.at, message, hint)

    def _arguments(self, call: Call, function: Function, bound: Bound) -> Iterator[object]:
        takes = list(function.arguments.items())
        paths: list[str] = []
        for index, expression in enumerate(call.arguments):
            name, kind = takes[min(index, len(takes) - 1)]
            if kind is Takes.VERTICES:
                yield self._nodes(expression, bound)
            elif kind is Takes.FILTER:
                yield self._filter(expression, bound)
            elif kind is Takes.PATHS and isinstance(expression, SetOf):
                paths += [word.text for word in expression.words]
            else:
                text = self._text_of(call, name, kind, expression)
                if kind is Takes.PATHS:
                    paths.append(text)
                else:
                    yield self._converted(text, kind, expression)
        if function.many:
            yield paths

    def _text_of(self, call: Call, name: str, kind: Takes, expression: Expression) -> str:
        if isinstance(expression, Word):
            return expression.text
        message = f"`{name}` of `{call.name}` is {kind.value}, not an expression"
        hint = 'a text with signs in it needs quotes: `"…"`'
        raise QueryFault(self._text, expression.at, message, hint)

    def _converted(self, text: str, kind: Takes, expression: Expression) -> object:
        if kind is Takes.NUMBER:
            if not text.isdecimal():
                message = f"a number from 0 upwards is expected, not `{text}`"
                raise QueryFault(self._text, expression.at, message)
            return int(text)
        if kind is Takes.REGEX:
            try:
                return re.compile(text)
            except re.error as error:
                message = f"not a regular expression: `{text}`: {error}"
                hint = "`.` stands for any character, a backslash takes a sign its meaning"
                raise QueryFault(self._text, expression.at, message, hint) from error
        return text

    def _filter(self, expression: Expression, bound: Bound) -> Filter:
        def look(number: int) -> Vertices:
            before, self._context.at = self._context.at, number
            try:
                return self._nodes(expression, bound)
            finally:
                self._context.at = before

        return look


class _Blamed:
    """Gives faults without a place that of a part of the query."""

    def __init__(self, text: str, at: int) -> None:
        self._text = text
        self._at = at

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, FaultReport):
            if len(error.faults) > 1 or error.faults[0].place.path:
                return
            fault = error.faults[0]
            raise QueryFault(self._text, self._at, fault.message, fault.hint) from error
        if isinstance(error, UserError) and not isinstance(error, QueryFault):
            raise QueryFault(self._text, self._at, error.message, error.hint or "") from error
