"""`python -m bench build`, `build-report` and `build-repo`: lamina and Bazel on the same files."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from bench import machine
from bench.build import bazel, results, suite
from bench.build.log import Log, read
from bench.build.repository import Repository
from bench.build.scenarios import NAMES
from bench.build.shape import shape
from bench.build.suite import TOOLS, Plan
from bench.build.texts import Dialect

WORDS = ("build", "build-report", "build-repo")
_MIXED_UP_TO = 5_000  # targets; larger repositories are of Python alone unless asked for
_KINDS = ("mixed", "python")
_LOG = Path("bench-build.jsonl")


def main(words: list[str]) -> int:
    """Do what the first word says."""
    args = _parser().parse_args(words)
    found: int = args.run(args)
    return found


def _build(args: argparse.Namespace) -> int:
    tools = _tools(args.tools)
    repositories = tuple(f"{args.kind or _kind_of(size)}-{size}" for size in args.size)
    plan = Plan(repositories, args.scenarios, tools, args.rounds, args.seed)
    log = Log(args.log)
    with tempfile.TemporaryDirectory(prefix="lamina-bench-", dir=args.folder) as temporary:
        folder = Path(temporary)
        found = machine.describe(folder)
        for name, value in found.items():
            print(f"{name:11} {value}")
        log.describe(found)
        wrong: list[str] = []
        # Else the server of Bazel would stay, and the files.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            suite.run(plan, folder, log, wrong)
        except KeyboardInterrupt:
            print("interrupted; this is what was measured before:", file=sys.stderr)
        finally:
            print(f"\n{results.text(log.entries)}")
    print(f"\nload at the end {machine.load()}")
    if wrong:
        print("\nnot as it must be:", *wrong, sep="\n  ")
    return 1 if wrong else 0


def _tools(chosen: list[str]) -> tuple[str, ...]:
    absent = bazel.missing() if "bazel" in chosen else ""
    if absent:
        print(f"Bazel is not measured, for lack of {absent}; to install it: {bazel.INSTALL}")
    return tuple(name for name in chosen if not (absent and name == "bazel"))


def _kind_of(size: int) -> str:
    return "mixed" if size <= _MIXED_UP_TO else "python"


def _report(args: argparse.Namespace) -> int:
    print(results.text(read(args.logs), markdown=args.markdown))
    return 0


def _repo(args: argparse.Namespace) -> int:
    of = shape(args.targets, mixed=args.kind == "mixed", seed=args.seed)
    Repository(args.folder, of, Dialect(args.dialect)).write()
    print(f"{len(of.targets)} targets in {len(of.packages)} build packages in {args.folder}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(required=True)
    build = commands.add_parser("build", help="measure")
    build.set_defaults(run=_build)
    build.add_argument(
        "--size", type=_numbers, default=[200, 1_000, 10_000], metavar="N,N",
        help="numbers of targets (default: 200,1000,10000)",
    )  # fmt: skip
    build.add_argument("--kind", choices=_KINDS, help="(default: mixed, python above 5,000)")
    build.add_argument(
        "--scenarios", type=_of(NAMES), default=list(NAMES), metavar="NAME,NAME",
        help=f"of: {', '.join(NAMES)}",
    )  # fmt: skip
    build.add_argument("--tools", type=_of(TOOLS), default=list(TOOLS), metavar="NAME,NAME")
    build.add_argument("--rounds", type=int, default=7, help="3 at most of what is slow")
    build.add_argument("--log", type=Path, default=_LOG, help=f"added to (default: {_LOG})")
    build.add_argument("--folder", type=Path, help="where to put what is measured")
    report = commands.add_parser("build-report", help="the tables of what was measured")
    report.set_defaults(run=_report)
    report.add_argument("logs", nargs="*", type=Path, default=[_LOG], metavar="LOG")
    report.add_argument("--markdown", action="store_true")
    repo = commands.add_parser("build-repo", help="write a repository")
    repo.set_defaults(run=_repo)
    repo.add_argument("folder", type=Path, help="that is not there yet")
    repo.add_argument("--targets", type=int, default=1_000)
    repo.add_argument("--kind", choices=_KINDS, default="mixed")
    repo.add_argument("--dialect", choices=[each.value for each in Dialect], default="bazel")
    for each in (build, repo):
        each.add_argument("--seed", type=int, default=1)
    return parser


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def _of(names: Iterable[str]) -> Callable[[str], list[str]]:
    """Some of these names, as an argument."""
    known = list(names)

    def chosen(text: str) -> list[str]:
        for name in text.split(","):
            if name not in known:
                raise argparse.ArgumentTypeError(f"`{name}` is none of {', '.join(known)}")
        return text.split(",")

    return chosen
