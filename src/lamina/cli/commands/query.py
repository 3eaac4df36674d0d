"""`lamina query`: ask how targets and files depend on each other."""

from __future__ import annotations

import argparse
from typing import Any

from lamina.cli import arguments, querying
from lamina.cli.session import Options, Session


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    words = parser.add_argument(
        "expression", metavar="EXPRESSION", nargs="*",
        help='as in `"deps(//a:b) - //c:d"`; `-` reads it; further words are its `%%s`',
    )  # fmt: skip
    words.completer = complete  # type: ignore[attr-defined]
    parser.add_argument("--query-file", default="", metavar="FILE", help="read the query from it")
    querying.add_output(parser)
    parser.add_argument(
        "--order-output", choices=querying.ORDERS, default="auto", metavar="ORDER",
        help="auto (by label, but a path as it goes), deps or full (dependents first), no",
    )  # fmt: skip
    parser.add_argument("--dot", dest="output", action="store_const", const="dot",
        help="`--output dot`, for Graphviz")  # fmt: skip
    parser.add_argument(
        "--universe-scope", default="", metavar="PATTERNS",
        help="where `allrdeps` and `rbuildfiles` look (default: `//...`)",
    )  # fmt: skip
    for name, text in (("implicit", "not written in the BUILD file"), ("tool", "of tools")):
        parser.add_argument(
            f"--no{name}-deps", f"--no-{name}-deps", action="store_true",
            help=f"without dependencies {text}",
        )  # fmt: skip
    parser.add_argument(
        "-k", "--keep-going", action="store_true", help="answer in spite of faults in BUILD files"
    )
    parser.epilog = "docs/query.md tells of all functions."


def run(args: argparse.Namespace) -> int:
    """Print the answer."""
    from lamina.build.query.graph import Edges

    edges = Edges(implicit=not args.noimplicit_deps, tools=not args.notool_deps)
    text = querying.text_of(args.expression, args.query_file)
    with Session(Options(jobs=1)) as session:
        question = querying.Question(session, edges, keep_going=args.keep_going)
        answer = question.answer(text, args.universe_scope)
        querying.show(answer, question.graph, args)
    return querying.exit_code(answer)


def complete(prefix: str, **_: Any) -> list[str]:
    """Functions, or labels after the last sign."""
    from lamina.build.query.functions import FUNCTIONS

    start = max(prefix.rfind(sign) for sign in "(, ") + 1
    if "/" in prefix[start:] or ":" in prefix[start:]:
        return [prefix[:start] + label for label in arguments.labels(prefix[start:])]
    return [f"{prefix[:start]}{name}(" for name in FUNCTIONS]
