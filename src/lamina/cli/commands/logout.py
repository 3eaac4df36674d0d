"""`lamina logout`: forget who we are to a registry."""

from __future__ import annotations

import argparse

from lamina.cli import arguments, output
from lamina.core import reference


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("host", metavar="HOST", help="the registry, as `registry.example:5000`")
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Remove the login; that there was none is no fault."""
    from lamina.store import credentials

    host = reference.host_of(args.host)
    was = credentials.forget(host)
    if args.json:
        output.document({"host": host, "was_logged_in": was})
    else:
        output.note(f"logged out of `{host}`" if was else f"there is no login at `{host}`")
    return 0
