"""`python -m tests.reliability`: long runs of what the tests do for seconds."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from lamina.store.local import LocalStore
from tests import servers
from tests.reliability import trials
from tests.reliability.killed import Trial
from tests.reliability.starts import Starts

_TRIALS = ("kills", "cuts", "operations", "starts")


def main() -> int:
    """Print what was tried and what was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="of push, pull, exec and gc")
    parser.add_argument("--cuts", type=int, default=40, help="of the power (as root)")
    parser.add_argument("--operations", type=int, default=10_000, help="beside two gc")
    parser.add_argument("--starts", type=int, default=1000, help="of programs, killed")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--only", choices=_TRIALS)
    args = parser.parse_args()
    print(f"seed {args.seed}")
    wrong: list[str] = []
    for what in _TRIALS:
        if args.only in (None, what):
            with tempfile.TemporaryDirectory(prefix="lamina-reliability-") as folder:
                wrong += _try(what, Path(folder), getattr(args, what), args.seed)
    print(f"wrong {len(wrong)}", *wrong, sep="\n  ")
    return 1 if wrong else 0


def _try(what: str, folder: Path, times: int, seed: int) -> list[str]:
    if what == "kills":
        with servers.registry(folder / "registry") as registry:
            found = Trial(folder, registry.host, seed).kill_often(times)
        print(f"{'command':12} {'tried':>6} {'killed':>6}")
        for command, tried in sorted(found.tried.items()):
            print(f"{command:12} {tried:6} {found.killed[command]:6}")
        return found.wrong
    if what == "starts":
        starts = Starts(folder, seed)
        wrong = starts.start_often(times)
        print(f"{'started':12} {'tried':>6} {'killed':>6}")
        for way, tried in sorted(starts.tried.items()):
            print(f"{way:12} {tried:6} {starts.killed[way]:6}")
        return wrong
    source = LocalStore(folder / "source")
    try:
        wrong = (trials.cut_power if what == "cuts" else trials.race)(folder, source, times, seed)
    finally:
        source.close()
    print(f"{what:12} {times:6}")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
