"""`python -m bench compat`: public repositories built by lamina, and their tests run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench import machine
from bench.compat import results
from bench.compat.catalogue import REPOSITORIES
from bench.compat.fetch import NotFetched, Sources
from bench.compat.trial import Trial
from bench.lamina import Lamina


def main(words: list[str]) -> int:
    """Try the repositories that were named, or all; print the table of them."""
    args = _parser().parse_args(words)
    folder: Path = args.folder.resolve()
    logs = folder / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    for name, value in machine.describe(folder).items():
        print(f"{name:11} {value}")
    sources = Sources(folder)
    trial = Trial(Lamina(folder / "store"), sources, logs, args.jobs, args.minutes * 60)
    rows = []
    for repository in REPOSITORIES:
        if args.names and repository.name not in args.names:
            continue
        print(f"{repository.name} …", file=sys.stderr, flush=True)
        try:
            rows.append(trial.run(repository))
        except NotFetched as error:
            print(f"{repository.name} is left out: {error}", file=sys.stderr)
    print(f"\n{results.table(rows)}")
    return 0 if rows and all(row.good for row in rows) else 1


def _parser() -> argparse.ArgumentParser:
    known = [repository.name for repository in REPOSITORIES]
    parser = argparse.ArgumentParser(prog="python -m bench compat", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(known)}")
    parser.add_argument(
        "--folder", type=Path, default=Path("bench-compat"),
        help="where sources, the store and logs stay for the next time (default: bench-compat)",
    )  # fmt: skip
    parser.add_argument("-j", "--jobs", type=int, default=2, help="actions at once (default: 2)")
    parser.add_argument(
        "--minutes", type=float, default=30, help="that a build, or tests, may take (default: 30)"
    )
    return parser
