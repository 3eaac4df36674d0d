"""Rounds of measurements: every case once in each round, so that all meet the same noise."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

SIZE = "size"  # the one figure in bytes; all others are seconds

Figures = Mapping[str, float]  # what one run of a case gave, by name of the figure


@dataclass(frozen=True, slots=True)
class Case:
    """A way to do the thing that is measured; `once` does it and tells how long it took."""

    name: str
    once: Callable[[], Figures]


@dataclass(frozen=True, slots=True)
class Row:
    """All values of a case for one figure, in the order of the rounds."""

    name: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Between these lie the middle half of the values."""
        if len(self.values) < 2:
            return self.median, self.median
        low, _, high = statistics.quantiles(self.values, n=4, method="inclusive")
        return low, high


@dataclass(frozen=True, slots=True)
class Table:
    """One figure of several cases; `peers` are the cases that the others are compared with."""

    title: str
    figure: str
    rows: tuple[Row, ...]
    peers: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def peer(self, name: str) -> Row | None:
        """The row of a peer, if it was measured."""
        return next((row for row in self.rows if row.name == name), None)


def ratio(row: Row, peer: Row) -> float:
    """The median of the ratios within each round: noise that lasts for a round cancels out."""
    return statistics.median(a / b for a, b in zip(row.values, peer.values, strict=True))


def added(row: Row, peer: Row) -> float:
    """The median of the differences within each round."""
    return statistics.median(a - b for a, b in zip(row.values, peer.values, strict=True))


def measure(
    title: str,
    cases: Sequence[Case],
    rounds: int,
    *,
    peers: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> list[Table]:
    """Measure the cases in turn, after one round that does not count; a table for each figure.

    Each round starts with another case, so that none always follows the same one.
    """
    for case in cases:
        case.once()
    found: dict[str, list[Figures]] = {case.name: [] for case in cases}
    for number in range(rounds):
        print(f"\r{title}: round {number + 1} of {rounds} ", end="", file=sys.stderr, flush=True)
        first = number % len(cases)
        for case in (*cases[first:], *cases[:first]):
            found[case.name].append(case.once())
    print(file=sys.stderr)
    figures = dict.fromkeys(name for runs in found.values() for name in runs[0])
    return [
        Table(
            title,
            figure,
            tuple(
                Row(name, tuple(run[figure] for run in runs))
                for name, runs in found.items()
                if figure in runs[0]
            ),
            tuple(peers),
            tuple(notes),
        )
        for figure in figures
    ]
