"""`lamina server`: a process that has imported all, of which commands are forks."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path

from lamina.cli import arguments, forkserver, output, serverclient, serverkey
from lamina.core import quantity
from lamina.core.errors import HostError

_IDLE = "1h"


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "what", metavar="start|stop|status", choices=("start", "stop", "status"),
        help="start a server for commands of this session; end it, while commands go on; "
        "tell of it",
    )  # fmt: skip
    parser.add_argument(
        "--idle", metavar="TIME", default=_IDLE,
        help="start: how long it waits for a command before it ends (default: %(default)s)",
    )  # fmt: skip
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Do one of those; `status` and `stop` fail where there is none."""
    key = os.environ.get("LAMINA_SERVER_KEY", "")
    if args.what == "start":
        return _start(key, quantity.duration(args.idle), as_json=args.json)
    if args.what == "stop":
        there = bool(key) and serverclient.end(key)
        if args.json:
            output.document({"stopped": there})
        else:
            output.data("the server has ended" if there else "there is no server")
        return 0 if there else 1
    return _status(key, as_json=args.json)


def _start(key: str, idle: int, *, as_json: bool) -> int:
    usual = str(Path(sys.argv[0]).absolute())
    programs = forkserver.Programs(str(Path(usual).with_name("lamina")), usual)
    _must_work(key, programs)
    before = serverclient.facts(key)
    if before is None and not forkserver.start(key, programs, idle):
        # Another call was quicker, or it can not be.
        before = serverclient.facts(key)
        if before is None:
            raise HostError("the server did not start", hint="commands go on without it")
    now = before or serverclient.facts(key)
    if as_json:
        output.document({"pid": now and now.pid, "started": before is None})
    elif before is not None:
        output.data(f"there is a server already: process {before.pid}")
    else:
        output.data(f"started: process {now.pid}" if now else "started")
    return 0


def _must_work(key: str, programs: forkserver.Programs) -> None:
    """Raise where no command could be served."""
    if not key:
        raise HostError(
            "only the native `lamina` has servers",
            hint="install lamina where there is a C compiler; call it with open standard streams",
        )
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        raise HostError(
            "a server needs SIGHUP, which is ignored here", hint="call it without `nohup`"
        )
    try:
        own = serverkey.key(os.getpid(), programs.launcher, programs.usual)
    except OSError as error:
        raise HostError(f"no server can tell its callers apart here: {error}") from error
    if own != key:
        raise HostError(
            "no server can tell its callers apart here", hint="call `lamina` by its name"
        )


def _status(key: str, *, as_json: bool) -> int:
    found = serverclient.facts(key) if key else None
    if as_json:
        told = found and {
            "pid": found.pid,
            "since": found.since,
            "served": found.served,
            "memory": found.memory,
        }
        output.document({"server": told})
    elif found is None:
        output.data("there is no server")
    else:
        output.data(
            f"process {found.pid}, since {output.duration(time.time() - found.since)}, "
            f"{output.plural(found.served, 'command')} served, "
            f"{output.size(found.memory)} of memory"
        )
    return 1 if found is None else 0
