"""`lamina enter`: start a shell, or another program, in a container that runs."""

from __future__ import annotations

import argparse
import sys

from lamina.core.errors import UserError


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "id", metavar="ID",
        help="of a container, or the beginning of it, or its package's `<name>-<version>`",
    )  # fmt: skip
    parser.add_argument(
        "-t", "--tty", action="store_true", dest="terminal",
        help="give it a terminal (default: where there is one, for a shell)",
    )  # fmt: skip
    parser.add_argument("-i", "--interactive", action="store_true", help=argparse.SUPPRESS)
    parser.epilog = "What stands after `--` is the program; without it, a shell."


def run(args: argparse.Namespace) -> int:
    """Run the program to its end; its exit code."""
    from lamina.node import entering, running

    command = args.program_arguments or ()
    if args.terminal and not sys.stdin.isatty():
        raise UserError("`-t` needs a terminal as standard input", hint="leave `-t` out")
    terminal = args.terminal or (not command and sys.stdin.isatty())
    return entering.enter(running.find(args.id), command or ("/bin/sh",), terminal=terminal)
