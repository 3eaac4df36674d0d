"""`lamina mount`: mount a target or a package for a person to look around in."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.cli import arguments, output, repositories
from lamina.store import leases, local

if TYPE_CHECKING:
    from lamina.core.digest import Digest
    from lamina.core.manifest import Package
    from lamina.store.local import LocalStore


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "what", metavar="TARGET|PACKAGE", nargs="?",
        help="a label such as `//folder:name`, or a package of the store; "
        "without it, what is mounted is listed",
    )  # fmt: skip
    parser.add_argument("at", metavar="FOLDER", nargs="?", type=Path, help="an empty folder")
    repositories.add_pull(parser)
    arguments.add_driver(parser)
    arguments.add_writable(parser)
    arguments.add_explain(parser)
    arguments.add_build(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Mount, and print where."""
    from lamina.node import visible

    if args.what is None:
        return _list(as_json=args.json)
    found, digest, store = _find(args)
    with leases.leased_package(store.folder, digest):
        images = repositories.images(args.what, found, digest, store, args)
        if args.explain:
            from lamina.cli import explaining

            return explaining.explain(found, images, args.driver, stays=True)
        arguments.tell_of_copy(args, stays=True)
        where = visible.mount(found, images, args.at, driver=args.driver, upper=args.writable)
        leases.mounted(store.folder, digest, where)
    if args.json:
        output.document({"mountpoint": str(where), "package": found.name})
    else:
        output.data(str(where))
    return 0


def _find(args: argparse.Namespace) -> tuple[Package, Digest, LocalStore]:
    """A label is built; any other word is a reference to what the store has."""
    from lamina.cli import pipeline
    from lamina.cli.session import Session

    if arguments.is_label(args.what):
        with Session(arguments.options(args)) as session:
            made = pipeline.package(session, args.what)
            output.note(made.summary())
        return made.package, made.digest, local.LocalStore(local.default_folder())
    store = local.LocalStore(local.default_folder())
    digest = repositories.find(args.what, store, args)
    found = repositories.read(args.what, digest, store, args)
    repositories.admit(args.what, found, digest, store, args)
    return found, digest, store


def _list(*, as_json: bool) -> int:
    from lamina.node import visible

    mounts = [str(mount) for mount in visible.mounted()]
    if as_json:
        output.document({"mounts": mounts})
        return 0
    for mount in mounts:
        output.data(mount)
    return 0
