"""`lamina run`: build a target, make and mount its layers, and start it in this process."""

from __future__ import annotations

import argparse
import contextlib
import time

from lamina.cli import arguments, containing, output, pipeline
from lamina.cli.session import Session
from lamina.node import laying
from lamina.store import leases, packages


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    arguments.add_target(parser)
    arguments.add_build(parser)
    arguments.add_grouping(parser)
    arguments.add_driver(parser)
    containing.add_to(parser)
    arguments.add_writable(parser)
    parser.epilog = "What stands after `--` is handed to the program."


def run(args: argparse.Namespace) -> int:
    """Become the program, or run it in a container: its exit code and streams are its own."""
    begun, started = time.perf_counter(), time.time()
    with contextlib.ExitStack() as stack:
        with Session(arguments.options(args)) as session:
            wanted = containing.order(args, session.workspace.run)
            made = pipeline.package(session, args.target, pipeline.Order(program=True))
            lease = leases.running if wanted is None else leases.leased_package
            stack.enter_context(lease(session.store.folder, made.digest))
            images = packages.images(made.package, session.store)

        def tell() -> None:
            seconds = time.perf_counter() - begun
            output.note(f"{made.summary()}; ready in {seconds:.2f} s")

        words = args.program_arguments or ()
        ready = None if args.quiet else tell
        arguments.tell_of_copy(args)
        laying.consider(
            images,
            session.store.folder,
            args.driver,
            begun=started,
            base=made.package.base_layers,
        )
        if wanted is not None:
            return containing.run(wanted, made.package, made.digest, images, args, ready)
        from lamina.node import launch

        launch.launch(
            made.package,
            images,
            words,
            driver=args.driver,
            writable=args.writable,
            ready=ready,
        )
    raise AssertionError  # it does not come back
