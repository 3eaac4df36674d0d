"""The command `lamina` as a process: what was started before starts without the rest of lamina."""

from __future__ import annotations

import sys

from lamina.linux import signals


def program() -> int:
    """Run the command line of this process; returns the exit code, with which it is to end."""
    # Who started us may ignore this, and hand that on; then nobody is told how a child ended.
    signals.signal(signals.SIGCHLD, signals.SIG_DFL)
    try:
        if sys.argv[1:2] == ["exec"]:
            from lamina.node import warm

            try:
                code = warm.start(sys.argv[2:], _warn)
            except warm.Failed as failed:
                from lamina.cli import main

                return main.told(failed.cause, "exec")
            if code is not None:
                return code
        from lamina.cli import main
    except KeyboardInterrupt:
        return 130  # as `main` has it once it handles signals: 128 and SIGINT
    return main.program()


def _warn(text: str) -> None:
    from lamina.cli import output

    output.warning(text)


if __name__ == "__main__":
    sys.exit(program())
