"""`lamina build`: make the outputs of targets and put them into `lamina-out/`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.cli import arguments, building, output
from lamina.cli.session import Session
from lamina.core.classes import replace
from lamina.core.errors import LaminaError, UserError

if TYPE_CHECKING:
    from lamina.cli.building import Outputs

_SHOWN = 20  # so many outputs are listed; of more, only the number is told


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    arguments.add_patterns(parser)
    arguments.add_build(parser)
    parser.add_argument(
        "-n", "--dry-run", action="store_true", help="tell what would run and why, and run nothing"
    )
    parser.add_argument(
        "--show-output", action="store_true", help="list all outputs, however many there are"
    )
    parser.add_argument(
        "--show-full-output", action="store_true", help="the same, with their whole paths"
    )
    parser.add_argument(
        "--out", type=Path, metavar="PATH", help="also copy what the one target makes to a place"
    )
    parser.add_argument(
        "--build-report", type=Path, metavar="FILE", help="write the result of each target as JSON"
    )
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Build, and list the outputs."""
    if args.dry_run:
        return _forecast(args)
    made: Outputs = {}
    with Session(arguments.options(args)) as session:
        try:
            outputs = building.build(session, args.patterns, made)
        except LaminaError as error:
            if args.build_report:
                _report_failure(args.build_report, session, error, made)
            raise
        if args.out:
            _copy(session, outputs, args.out)
        session.settle()
        _show(session, outputs, args)
    if args.build_report:
        from lamina.cli import report

        report.write(args.build_report, report.success(session.root, outputs))
    return 0


def _forecast(args: argparse.Namespace) -> int:
    from lamina.cli import dryrun

    options = replace(arguments.options(args), keep_going=True, dry=True, words=())
    with Session(options) as session:
        found = dryrun.forecast(session, args.patterns)
        dryrun.show(session, found, as_json=args.json)
    return 0


def _copy(session: Session, outputs: Outputs, place: Path) -> None:
    from lamina.cli import publish

    if len(outputs) != 1:
        targets = output.plural(len(outputs), "target")
        raise UserError(f"`--out` is for one target, and {targets} were chosen")
    [(label, paths)] = outputs.items()
    if not paths:
        raise UserError(f"`{label}` makes nothing that could be copied to `{place}`")
    publish.copy_out(session.root, paths, place)


def _show(session: Session, outputs: Outputs, args: argparse.Namespace) -> None:
    if args.json:
        ran = session.actions_run
        output.document({"outputs": outputs, "actions_run": ran})
    else:
        root = f"{session.root}/" if args.show_full_output else ""
        lines = [f"{label}  {root}{path}" for label, paths in outputs.items() for path in paths]
        everything = args.show_output or args.show_full_output
        for line in lines if everything or len(lines) <= _SHOWN else ():
            output.data(line)
    if not args.quiet:
        targets = output.plural(len(outputs), "target")
        head = output.painted("build succeeded:", output.GREEN)
        seconds = output.duration(session.logbook.elapsed)
        output.note(f"{head} {targets}; {session.tally}; {seconds}")


def _report_failure(file: Path, session: Session, error: LaminaError, made: Outputs) -> None:
    from lamina.cli import report

    failures = session.console.tally.failures
    told = {action.owner: fault.message for action, fault in failures}
    report.write(file, report.failure(session.root, made, told, error))
