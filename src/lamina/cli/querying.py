"""What the commands that ask for targets share: from words of the command line to an answer."""

from __future__ import annotations

import argparse
import gc
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.cli import arguments, output
from lamina.core.errors import UserError

if TYPE_CHECKING:
    from lamina.build.faults import Fault
    from lamina.build.query.evaluate import Answer
    from lamina.build.query.graph import Edges, Graph
    from lamina.cli.session import Session

FORMS = (
    "label", "label_kind", "package", "location", "build", "json", "jsonl", "graph", "dot",
    "minrank", "maxrank", "xml",
)  # fmt: skip
ORDERS = ("auto", "deps", "full", "no")
INCOMPLETE = 3


class Question:
    """A workspace that queries are put to; each build package is loaded at most once."""

    def __init__(
        self, session: Session, edges: Edges | None = None, *, keep_going: bool = False
    ) -> None:
        from lamina.build.query.graph import ALL_EDGES, Graph
        from lamina.build.query.words import Words

        self.graph = Graph(session.loader, edges or ALL_EDGES)
        self.words = Words(self.graph, session.pattern, session.here, keep_going=keep_going)
        # What loading makes lives until the end; looking through it for garbage takes long.
        gc.disable()

    def answer(self, text: str, scope: str = "") -> Answer:
        """The answer to a query; tells what BUILD files print, and what is doubtful."""
        from lamina.build.query.evaluate import evaluate

        try:
            answer = evaluate(text, self.words, self.graph, scope=scope)
        finally:
            tell_prints(self.graph)
        for note in answer.notes:
            output.note(note)
        tell(answer.skipped)
        return answer


def tell_prints(graph: Graph) -> None:
    """Pass on what BUILD files print."""
    for line in graph.loader.prints:
        output.note(line)


def tell(faults: Iterable[Fault]) -> None:
    """Report faults that were passed by."""
    for fault in faults:
        output.note(f"error: {fault}")
        if fault.hint:
            output.note(f"hint: {fault.hint}")


def exit_code(answer: Answer) -> int:
    """0, or 3 where something was passed by."""
    return INCOMPLETE if answer.skipped else 0


def show(
    answer: Answer,
    graph: Graph,
    args: argparse.Namespace,
    because: Mapping[int, str] | None = None,
) -> None:
    """Print an answer in the form that the options of `add_output` say."""
    from lamina.build.query.output import Style, lines

    attributes = tuple(map(_expression, getattr(args, "output_attribute", ())))
    order = getattr(args, "order_output", "auto")
    style = Style(form(args), order, attributes, because or {})
    shown = list(lines(answer, graph, style))
    if shown:
        output.data("\n".join(shown))


def form(args: argparse.Namespace) -> str:
    """The form of output that was asked for."""
    named: str = args.output
    return "json" if args.json and named not in ("json", "jsonl") else named


def add_output(parser: argparse.ArgumentParser, default: str = "label") -> None:
    """How to print targets."""
    parser.add_argument(
        "--output", choices=FORMS, default=default, metavar="FORM",
        help=f"{', '.join(FORMS)} (default: {default})",
    )  # fmt: skip
    parser.add_argument(
        "-a", "--output-attribute", action="append", default=[], metavar="REGEX",
        help="with json: attributes whose name matches, defaults too",
    )  # fmt: skip
    arguments.add_json(parser)


def text_of(words: list[str], file: str = "") -> str:
    """The query that some words are; raises UserError where there is none.

    A file or standard input, `-`, holds it; each `%s` in it is one of the words that follow.
    """
    if file:
        text, arguments = _read(file), words
    elif words:
        text = _read("-") if words[0] == "-" else words[0]
        arguments = words[1:]
    else:
        raise UserError(
            "`lamina query` needs a query", hint='as in `lamina query "deps(//a:b)"`; or `//...`'
        )
    return _filled(text, [word for argument in arguments for word in _expanded(argument)])


def _filled(text: str, arguments: list[str]) -> str:
    from lamina.build.query.syntax import Word

    if "%Ss" in text:
        every = " ".join(str(Word(argument)) for argument in arguments)
        return re.sub(r"""(["']?)%Ss\1""", lambda _: f"set({every})", text)
    if "%s" not in text:
        return " ".join([text, *arguments])
    if not arguments:
        raise UserError("no argument for the `%s` in the query", hint="it follows the query")
    filled = [_with(text, str(Word(argument))) for argument in arguments]
    return filled[0] if len(filled) == 1 else " + ".join(f"({each})" for each in filled)


def _with(text: str, argument: str) -> str:
    return re.sub(r"""(["']?)%s\1""", lambda _: argument, text)


def _expanded(argument: str) -> list[str]:
    """An argument, or the lines of standard input for `-` and of a file for `@file`."""
    if argument == "-":
        return _read("-").split()
    if argument.startswith("@") and Path(argument[1:]).is_file():
        return _read(argument[1:]).split()
    return [argument]


def _read(file: str) -> str:
    if file == "-":
        return sys.stdin.read()
    try:
        return Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read `{file}`: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"`{file}` is not UTF-8 text") from error


def _expression(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise UserError(f"not a regular expression: `{text}`: {error}") from error
