"""`python -m tests.fuzz`: give each parser of lamina damaged inputs for minutes.

Whatever comes from elsewhere may be refused, by an error with a message, and by nothing else. An
input that led to anything else is kept in a folder; put into tests/corpus/TARGET, it is tried by
every run of the tests.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.fuzz import campaign
from tests.fuzz.targets import TARGETS


def main() -> int:
    """Run the targets one after the other; 1 where one failed."""
    args = _parser().parse_args()
    names = args.only or list(TARGETS)
    seconds = args.minutes * 60 / len(names)
    seed = time.time_ns() if args.seed is None else args.seed
    _tell(f"seed {seed}, {seconds:.1f} s each")
    _tell(f"{'target':<16}{'executions':>12}{'seconds':>9}{'kept':>6}{'crashes':>9}")
    total, failed = 0, 0
    for name in names:
        outcome = campaign.run(TARGETS[name], seconds, seed)
        total += outcome.executions
        failed += len(outcome.crashes)
        _tell(
            f"{name:<16}{outcome.executions:>12,}{outcome.seconds:>9.1f}{outcome.kept:>6}"
            f"{len(outcome.crashes):>9}"
        )
        for what, path in zip(outcome.crashes, campaign.keep(outcome, args.folder), strict=True):
            _tell(f"    {what}: {path}")
    _tell(f"{'all':<16}{total:>12,}{'':>15}{failed:>9}")
    return 1 if failed else 0


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5, help="in all; 5 by default")
    words = f"this target, of {', '.join(TARGETS)}; may be given again"
    parser.add_argument("--only", action="append", choices=list(TARGETS), metavar="X", help=words)
    words = "where inputs that fail are kept"
    parser.add_argument("--folder", type=Path, default=Path("fuzz-crashes"), help=words)
    parser.add_argument("--seed", type=int, help="the same again; else it is another each time")
    return parser


if __name__ == "__main__":
    sys.exit(main())
