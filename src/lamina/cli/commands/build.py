"""`lamina build`: make the outputs of targets and put them into `lamina-out/`."""

from __future__ import annotations

import argparse
import time

from lamina.cli import arguments, building, output
from lamina.cli.building import Outputs
from lamina.cli.session import Session

_SHOWN = 20  # so many outputs are listed; of more, only the number is told


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    arguments.add_patterns(parser)
    arguments.add_build(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Build, and list the outputs."""
    begun = time.perf_counter()
    with Session(arguments.options(args)) as session:
        outputs = building.build(session, args.patterns)
        ran = session.actions_run
        session.settle()
    _report(outputs, ran, time.perf_counter() - begun, as_json=args.json)
    return 0


def _report(outputs: Outputs, ran: int, seconds: float, *, as_json: bool) -> None:
    if as_json:
        output.document({"outputs": outputs, "actions_run": ran})
        return
    lines = [f"{label}  {path}" for label, paths in outputs.items() for path in paths]
    if len(lines) <= _SHOWN:
        for line in lines:
            output.data(line)
    targets = output.plural(len(outputs), "target")
    output.note(f"{targets} built; {output.plural(ran, 'action')} run in {seconds:.2f} s")
