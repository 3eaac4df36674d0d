"""`lamina exec`: run a package that lies in the store; no workspace is needed."""

from __future__ import annotations

import argparse

from lamina.cli import arguments
from lamina.core.errors import UserError


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "package", metavar="PACKAGE", help="`name`, `name:version` or `name@sha256:<digest>`"
    )
    arguments.add_driver(parser)
    parser.epilog = "What stands after `--` is handed to the program."


def run(args: argparse.Namespace) -> int:
    """Become the program: its exit code, signals and streams are its own."""
    from lamina.node import launch
    from lamina.store import local, packages

    store = local.LocalStore(local.default_folder())
    found = packages.read(packages.resolve(args.package, store), store)
    if not found.entry_point:
        raise UserError(f"`{found.label}` is not a program: its package only holds files")
    images = packages.images(found, store)
    launch.launch(found, images, args.program_arguments or (), driver=args.driver)
