"""`lamina graph`: draw how targets depend on each other."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lamina.cli import output, querying
from lamina.cli.commands.query import complete
from lamina.cli.session import Options, Session
from lamina.core.errors import UserError

_MOST = 3000  # boxes: the picture of more is of no use, and takes minutes


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    words = parser.add_argument(
        "expression", metavar="EXPRESSION|PATTERN", nargs="*",
        help="targets, drawn with all they depend on; or a query (default: `//...`)",
    )  # fmt: skip
    words.completer = complete  # type: ignore[attr-defined]
    parser.add_argument("-o", "--out", default="", metavar="FILE", help="write the SVG there")
    parser.add_argument(
        "--group", choices=("auto", "none", "package"), default="auto",
        help="a box for each target, or for each build package (default: what can be read)",
    )  # fmt: skip
    parser.add_argument(
        "--reduce", action="store_true", help="leave out what a longer way says as well"
    )
    parser.add_argument("--files", action="store_true", help="source files too")
    parser.add_argument(
        "--theme", choices=("auto", "light", "dark"), default="auto",
        help="colours (default: those of the page that shows it)",
    )  # fmt: skip
    parser.add_argument(
        "-k", "--keep-going", action="store_true", help="draw in spite of faults in BUILD files"
    )


def run(args: argparse.Namespace) -> int:
    """Write the picture."""
    from lamina.build.picture.scene import scene
    from lamina.build.picture.svg import draw

    if not args.out and sys.stdout.isatty():
        hint = f"`lamina graph {' '.join(args.expression)} -o graph.svg`".replace("  ", " ")
        raise UserError("a picture is nothing for a terminal", hint=hint)
    text = _query(args.expression)
    with Session(Options(jobs=1)) as session:
        question = querying.Question(session, keep_going=args.keep_going)
        answer = question.answer(text)
        graph = question.graph
        vertices = sorted(answer.vertices, key=graph.labels.__getitem__)
        shown = scene(graph, vertices, text, args.group, files=args.files)
    if not shown.boxes:
        raise UserError(f"`{text}` gives no target to draw")
    if len(shown.boxes) > _MOST:
        hint = "`--group package`, or ask for less"
        raise UserError(f"{len(shown.boxes):,} boxes are too many for a picture", hint=hint)
    picture = draw(shown.reduced() if args.reduce else shown, args.theme)
    _write(picture, args.out)
    return querying.exit_code(answer)


def _query(words: list[str]) -> str:
    """Patterns stand for what they choose and all below it."""
    from lamina.build.query.syntax import Word, parse

    if not words:
        return "//..."
    if all(isinstance(parse(word), Word) for word in words):
        return f"deps({' + '.join(words)})"
    return querying.text_of(words)


def _write(picture: str, file: str) -> None:
    if not file or file == "-":
        sys.stdout.write(picture)
        return
    try:
        Path(file).write_text(picture, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write `{file}`: {error.strerror}") from error
    output.note(f"written: {file}")
