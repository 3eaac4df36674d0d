"""`lamina targets`: list the targets that patterns choose."""

from __future__ import annotations

import argparse

from lamina.cli import arguments, querying
from lamina.cli.session import Options, Session


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    arguments.add_patterns(parser, default="//...")
    querying.add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Print one label a line, or what else is asked for."""
    from lamina.build.query.evaluate import Answer

    with Session(Options(jobs=1)) as session:
        question = querying.Question(session)
        labels = session.labels(args.patterns)
        querying.tell_prints(question.graph)
        answer = Answer([question.graph.vertex(label) for label in labels], True, [], [])
        querying.show(answer, question.graph, args)
    return 0
