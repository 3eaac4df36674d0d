"""`lamina umount`: end what `lamina mount` began."""

from __future__ import annotations

import argparse


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("where", metavar="FOLDER", help="what `lamina mount` printed")


def run(args: argparse.Namespace) -> int:
    """Unmount; raises UserError where nothing of lamina's is mounted."""
    from lamina.node import visible

    visible.umount(args.where)
    return 0
