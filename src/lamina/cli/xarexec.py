"""The program `xarexec`: mounts any XAR file and runs it, with the options of xarexec_fuse."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NamedTuple

from lamina.core.errors import LaminaError, UserError
from lamina.linux import environment
from lamina.node import xar

USAGE = """\
usage: xarexec [-m|-n] FILE.xar [ARGUMENT...]
  -m  mount it and print the mount point, do not run it
  -n  print the mount point, do not mount it
  -h  print this help
"""
_BAD_USAGE = 1
_FAILED = 134  # what a shell shows for xarexec_fuse, which aborts on every failure


class Options(NamedTuple):
    """A command line: which of the flags were given, and what follows them."""

    flags: frozenset[str]
    rest: list[str]


def parse(arguments: list[str]) -> Options:
    """Part the flags before the file from the rest, which belongs to the XAR's program."""
    flags: set[str] = set()
    rest = list(arguments)
    while rest and rest[0].startswith("-"):
        flags.add(rest.pop(0))
        if "-h" in flags:
            break
    return Options(frozenset(flags), rest)


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; the exit code, unless the XAR's program takes over."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    unknown = options.flags - {"-m", "-n", "-h"}
    if unknown or "-h" in options.flags or not options.rest:
        sys.stderr.write(USAGE)
        return 0 if "-h" in options.flags and not unknown else _BAD_USAGE
    try:
        return _act(options)
    except LaminaError as error:
        sys.stderr.write(f"error: {error.message}\n")
        if error.hint:
            sys.stderr.write(f"hint: {error.hint}\n")
        return _FAILED
    except OSError as error:
        # Its mount root is open to everybody: anything may lie there, or go, at any time.
        sys.stderr.write(
            f"error: {error.strerror or error}: `{error.filename or options.rest[0]}`\n"
        )
        return _FAILED


def _act(options: Options) -> int:
    if os.getuid() != os.geteuid():
        raise UserError("xarexec must not be set-uid")
    path = Path(options.rest[0])
    if "-m" not in options.flags:
        xar.need_target(path)
    if "-n" in options.flags:
        where = xar.mount_point(xar.header(path), os.environ)
    elif "-m" in options.flags:
        where, _ = xar.mount(path, os.environ)
    else:
        xar.run(path, options.rest[1:], environment.inherited())
    sys.stdout.write(f"{where}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
