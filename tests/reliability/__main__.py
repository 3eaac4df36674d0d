"""`python -m tests.reliability --kills N`: long runs of what the tests do for seconds."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests import servers
from tests.reliability.killed import Trial


def main() -> int:
    """Print what was tried and what was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="lamina-reliability-") as folder,
        servers.registry(Path(folder) / "registry") as registry,
    ):
        found = Trial(Path(folder), registry.host, args.seed).kill_often(args.kills)
    print(f"seed {args.seed}")
    print(f"{'command':8} {'tried':>6} {'killed':>6}")
    for what, tried in sorted(found.tried.items()):
        print(f"{what:8} {tried:6} {found.killed[what]:6}")
    print(f"wrong    {len(found.wrong):6}", *found.wrong, sep="\n  ")
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
