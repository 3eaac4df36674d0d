"""`lamina completion`: print what a shell needs to complete lamina's words and labels."""

from __future__ import annotations

import argparse

from lamina.cli import output


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))
    parser.epilog = 'In ~/.bashrc: eval "$(lamina completion bash)"'


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    from argcomplete.shell_integration import shellcode

    output.data(shellcode(["lamina"], shell=args.shell))
    return 0
