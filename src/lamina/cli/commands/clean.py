"""`lamina clean`: remove outputs and what is remembered of this workspace, or the whole store."""

from __future__ import annotations

import argparse

from lamina.cli import output
from lamina.cli.session import Options, Session
from lamina.linux import filesystem


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--expunge", action="store_true",
        help="also remove every blob, action result and package of the store",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Remove; what was removed is made again when it is needed."""
    from lamina.cli.publish import FOLDER

    with Session(Options(jobs=1)) as session:
        session.alone()
        filesystem.remove_tree(session.root / FOLDER)
        for path in session.state.iterdir():
            if path.is_dir():
                filesystem.remove_tree(path)
            elif path.suffix != ".lock":  # who waits for one must wait for the same file
                path.unlink()
        output.note(f"removed `{session.root / FOLDER}` and what was known of its files")
        if args.expunge:
            session.store.empty()
            output.note(f"emptied the store `{session.store.folder}`")
    return 0
