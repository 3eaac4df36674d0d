"""`lamina targets`: list the targets that patterns choose."""

from __future__ import annotations

import argparse

from lamina.cli import arguments, output
from lamina.cli.session import Options, Session


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    arguments.add_patterns(parser, default="//...")
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print one label a line, or label, rule and dependencies of each as JSON."""
    with Session(Options(jobs=1)) as session:
        labels = session.labels(args.patterns)
        if not args.json:
            for label in labels:
                output.data(str(label))
            return 0
        targets = [session.loader.target(label) for label in labels]
    output.document(
        [
            {
                "label": str(target.label),
                "rule": target.rule.name,
                "dependencies": [str(label) for label in target.dependencies()],
                "visibility": list(target.visibility),
            }
            for target in targets
        ]
    )
    return 0
