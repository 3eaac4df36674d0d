"""The command `lamina` as a process: what was started before starts without the rest of lamina."""

from __future__ import annotations

import sys


def program() -> int:
    """Run the command line of this process; returns the exit code, with which it is to end."""
    try:
        if sys.argv[1:2] == ["exec"]:
            from lamina.node import warm

            warm.start(sys.argv[2:])
        from lamina.cli import main
    except KeyboardInterrupt:
        return 130  # as `main` has it once it handles signals: 128 and SIGINT
    return main.program()


if __name__ == "__main__":
    sys.exit(program())
