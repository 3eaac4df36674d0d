"""`lamina tags`: what a repository has names for."""

from __future__ import annotations

import argparse
import re

from lamina.cli import arguments, output, repositories
from lamina.core import reference

# What goes with a manifest where the registry cannot tell: no version that anybody gave.
_BESIDE = re.compile(r"sha256-[0-9a-f]{64}(\.[a-z]+)?")


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("repository", metavar="REPO", help="`host/repository` or `oci:FOLDER`")
    parser.add_argument(
        "--all", action="store_true", help="also those of signatures and the like, `sha256-…`"
    )
    repositories.add_access(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print them, sorted."""
    wanted = reference.repository_of(args.repository)
    with repositories.opened(wanted, args) as repository:
        found = repository.tags()
    tags = [tag for tag in found if args.all or not _BESIDE.fullmatch(tag)]
    if args.json:
        output.document({"repository": wanted.place, "tags": tags})
        return 0
    for tag in tags:
        output.data(tag)
    return 0
