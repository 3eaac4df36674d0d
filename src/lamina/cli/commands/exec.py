"""`lamina exec`: run a package of the store or a registry; no workspace is needed."""

from __future__ import annotations

import argparse
import contextlib
import os
import time

from lamina.cli import arguments, containing, output, repositories
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
    containing.add_to(parser)
    arguments.add_writable(parser)
    arguments.add_explain(parser)
    parser.epilog = "What stands after `--` is handed to the program."


def run(args: argparse.Namespace) -> int:
    """Become the program, or run it in a container: its exit code and streams are its own."""
    from lamina.node import carried, laying, report
    from lamina.store import leases, local

    begun = time.time()
    told = report.wanted(os.environ, output.warning)
    args.carried = carried.taken(os.environ)
    wanted = containing.order(args)
    store = local.LocalStore(local.default_folder())
    seen = None
    if args.writable is None and (wanted is None or containing.is_steady(args)):
        from lamina.node import remember

        seen = remember.see(args.package, _lasting(args), store)
    digest = repositories.find(args.package, store, args)
    lease = leases.running if wanted is None else leases.leased_package
    with lease(store.folder, digest):
        found = repositories.read(args.package, digest, store, args)
        if not found.entry_point:
            raise UserError(f"`{found.label}` is not a program: its package only holds files")
        repositories.admit(args.package, found, digest, store, args)
        images = repositories.images(args.package, found, digest, store, args)
        if args.explain:
            from lamina.cli import explaining

            return explaining.explain(found, images, args.driver)
        arguments.tell_of_copy(args)
        mounted = laying.consider(
            images, store.folder, args.driver, begun=begun, base=found.base_layers
        )
        if told is not None:
            told.told("pulled")
        if wanted is not None:
            keep = containing.keeper(seen, found, digest, images, store, args.driver, mounted)
            with contextlib.closing(store):
                return containing.run(wanted, found, digest, images, args, report=told, keep=keep)
        from lamina.node import launch

        if seen is not None:
            remember.remember(seen, found, digest, images, store, args.driver, mounted=mounted)
        store.close()  # else its scratch would stay when the program takes this process's place
        launch.launch(
            found,
            images,
            args.program_arguments or (),
            driver=args.driver,
            writable=args.writable,
            mounted=None if told is None else told.mounted,
            ready=None if told is None else told.ready,
        )
    raise AssertionError  # it does not come back


def _lasting(args: argparse.Namespace) -> tuple[str, ...]:
    """The words by which another start is known to be the same: other options leave no trace."""
    return tuple(args.words[1:]) if containing.is_steady(args) else (args.package,)
