"""`lamina exec`: run a package of the store or a registry; no workspace is needed."""

from __future__ import annotations

import argparse
import os

from lamina.cli import arguments, output, repositories
from lamina.core.errors import UserError


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "package", metavar="PACKAGE",
        help="`name`, `name:version` or `name@sha256:<digest>`; with a registry before it, or as "
        "`oci:FOLDER:tag`, it is pulled where it is not here",
    )  # fmt: skip
    repositories.add_pull(parser)
    arguments.add_driver(parser)
    parser.epilog = "What stands after `--` is handed to the program."


def run(args: argparse.Namespace) -> int:
    """Become the program: its exit code, signals and streams are its own."""
    from lamina.node import launch, report
    from lamina.store import leases, local, packages

    told = report.wanted(os.environ, output.warning)
    store = local.LocalStore(local.default_folder())
    digest = repositories.find(args.package, store, args)
    with leases.running(store.folder, digest):
        found = packages.read(digest, store)
        if not found.entry_point:
            raise UserError(f"`{found.label}` is not a program: its package only holds files")
        repositories.admit(args.package, found, digest, store, args)
        images = repositories.images(args.package, found, digest, store, args)
        words = args.program_arguments or ()
        if told is not None:
            told.told("pulled")
        launch.launch(
            found, images, words, driver=args.driver,
            mounted=None if told is None else told.mounted,
            ready=None if told is None else told.ready,
        )  # fmt: skip
