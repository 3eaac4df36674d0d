"""How layers are grouped: bytes shipped for a commit, on commits that were not learnt from.

Each file of a repository stands for a target (or each folder). The layouts are made from the
oldest commits and tried on the newest.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from bench import changelogs, histories
from bench.histories import Past
from bench.report import aligned
from lamina.packaging import grouping, replay
from lamina.packaging.grouping import Layout, Lesson, Member
from lamina.packaging.replay import LayoutAt, Shipped, Trial

WORD = "grouping"


@dataclass(frozen=True, slots=True)
class Halves:
    """A history parted in what is learnt from and what is held out."""

    past: Past
    cut: int  # commits learnt from
    trial: Trial


def main(words: Sequence[str]) -> int:
    """Print a table for each history."""
    args = _parser().parse_args(words)
    for past in _pasts(args):
        print(f"\n{_report(past, args)}", flush=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench grouping", description=__doc__)
    parser.add_argument("repositories", nargs="*", type=Path, metavar="REPO", help="of git or hg")
    parser.add_argument(
        "--changelog", action="append", default=[], metavar="FILE=FOLDER",
        help="a GNU ChangeLog, and the files that it tells of",
    )  # fmt: skip
    parser.add_argument("--made", action="store_true", help="a history made by a random process")
    parser.add_argument("--most", type=int, default=grouping.MOST, help="layers")
    parser.add_argument("--held-out", type=float, default=0.3, help="part of the commits")
    parser.add_argument("--per", choices=("file", "folder"), default="file", help="a target is")
    parser.add_argument("--quick", action="store_true", help="do not re-cut as it goes")
    return parser


def _pasts(args: argparse.Namespace) -> Iterable[Past]:
    yield from map(histories.of_repository, args.repositories)
    for word in args.changelog:
        file, _, folder = word.partition("=")
        yield changelogs.read(Path(file), Path(folder))
    if args.made:
        yield histories.made()


def _report(past: Past, args: argparse.Namespace) -> str:
    halves = parted(past, args.held_out, args.per)
    trial = halves.trial
    begun = time.process_time()
    layout = learnt(halves, args.most)
    seconds = time.process_time() - begun
    found = replay.compare(
        trial, args.most, layout, None if args.quick else going_on(halves, args.most)
    )
    head = (
        f"## {past.name}: {len(trial.members):,} targets, {sum(trial.sizes.values()) >> 10:,} KiB, "
        f"{halves.cut:,} commits to learn from, {len(trial.steps):,} held out; "
        f"at most {args.most} layers, learnt in {seconds:.2f} s of processor time\n"
    )
    return head + aligned(_rows(found))


def _rows(found: Sequence[Shipped]) -> list[list[str]]:
    of = {each.name: each for each in found}
    base, best = of[replay.PER_TARGET], of[replay.AUTO_FIXED]
    header = ["", "layers", "KiB a commit", "median", "layers sent", "/ per-target", "/ auto"]
    return [header] + [
        [
            each.name,
            f"{each.layers:,}",
            f"{each.mean / 1024:,.1f}",
            f"{each.median / 1024:,.1f}",
            f"{each.blobs:.1f}",
            f"{each.ratio(base):.2f}",
            f"{each.ratio(best):.2f}",
        ]
        for each in found
    ]


def parted(past: Past, held_out: float, per: str) -> Halves:
    """A history parted in two."""
    cut = len(past.commits) - round(len(past.commits) * held_out)
    named = {path: path if per == "file" else path.rpartition("/")[0] for path in past.sizes}
    paths: dict[str, list[str]] = {}
    for path, name in sorted(named.items()):
        paths.setdefault(name, []).append(path)
    needs: dict[str, set[str]] = {}
    for path, below in past.needs().items():
        needs.setdefault(named[path], set()).update(named[each] for each in below)
    trial = Trial(
        members=tuple(
            Member(name, inner[0].rpartition("/")[0], frozenset(inner), tuple(inner))
            for name, inner in paths.items()
        ),
        sizes={name: sum(past.sizes[path] for path in inner) for name, inner in paths.items()},
        known=frozenset(named[path] for path in past.sizes_at(cut) if path in named),
        steps=tuple(
            frozenset(named[path] for path in files if path in named)
            for files in past.commits[cut:]
        ),
        needs=needs,
    )
    return Halves(past, cut, trial)


def _lesson(past: Past, end: int, new: int = 0) -> Lesson:
    commits = past.commits[max(0, end - grouping.WINDOW) : end]
    return Lesson(commits, past.sizes_at(end), min(new, len(commits)))


def learnt(halves: Halves, most: int) -> Layout:
    """The layout that the older commits teach."""
    return grouping.auto(halves.trial.members, [_lesson(halves.past, halves.cut)], most)


def going_on(halves: Halves, most: int) -> LayoutAt:
    """The layout that lamina uses at each held-out commit, learnt up to its anchors."""

    @cache
    def at(anchors: tuple[int, ...]) -> Layout:
        ends = pairwise((0, *anchors))
        lessons = [_lesson(halves.past, end, end - before) for before, end in ends]
        return grouping.auto(halves.trial.members, lessons, most)

    return lambda number: at(grouping.anchors(halves.cut + number))
