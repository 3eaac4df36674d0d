"""`lamina init`: make the current folder the root of a workspace."""

from __future__ import annotations

import argparse
from pathlib import Path

from lamina.cli import output


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("folder", nargs="?", type=Path, default=Path(), metavar="FOLDER")


def run(args: argparse.Namespace) -> int:
    """Write `lamina.toml`; refuses to overwrite one."""
    from lamina.build import workspace

    outer = workspace.above(args.folder)
    output.note(f"wrote `{workspace.init(args.folder)}`")
    if outer is not None:
        output.warning(f"it lies in the workspace `{outer}`, which commands here mean no more")
    return 0
