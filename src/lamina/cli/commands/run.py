"""`lamina run`: build a target, make and mount its layers, and start it in this process."""

from __future__ import annotations

import argparse
import contextlib
import time

from lamina.cli import arguments, output, pipeline
from lamina.cli.session import Session
from lamina.store import leases, packages


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    arguments.add_target(parser)
    arguments.add_build(parser)
    arguments.add_grouping(parser)
    arguments.add_driver(parser)
    arguments.add_writable(parser)
    parser.epilog = "What stands after `--` is handed to the program."


def run(args: argparse.Namespace) -> int:
    """Become the program: its exit code, signals and streams are its own."""
    begun = time.perf_counter()
    with contextlib.ExitStack() as stack:
        with Session(arguments.options(args)) as session:
            made = pipeline.package(session, args.target, pipeline.Order(program=True))
            stack.enter_context(leases.running(session.store.folder, made.digest))
            images = packages.images(made.package, session.store)
        from lamina.node import launch

        def tell() -> None:
            seconds = time.perf_counter() - begun
            output.note(f"{made.summary()}; ready in {seconds:.2f} s")

        words = args.program_arguments or ()
        arguments.tell_of_copy(args)
        launch.launch(
            made.package,
            images,
            words,
            driver=args.driver,
            writable=args.writable,
            ready=None if args.quiet else tell,
        )
