"""Races: what the build farm has not done after a while runs here too, and the first result counts.

                                            delay             here is done first
    looked up there ──▶ runs there ───────────┬───────────────────┬──▶ cancelled there
                                              └─▶ runs here too ──┘
                                                  where nothing else needs the place

A result counts once its side has claimed the race; the other one is ended then, and whatever it
still makes is thrown away before anybody knows of it. A side that comes to nothing, or to what may
be the fault of its machine, leaves the race to the other.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING

from lamina.build import placement
from lamina.core.action import Action
from lamina.core.cancellation import Cancellation
from lamina.store.remote.waiting import Waiting

if TYPE_CHECKING:
    from lamina.build.performer import Task

FETCHED = 4 << 20  # bytes of inputs that may be brought for it: a message of most farms
_KILLED = 128  # exit codes from here on are those of shells for signals
_BY_OTHERS = b"signal terminated program"  # what gcc says when the kernel ended its compiler


class Side(Enum):
    """Where an action runs."""

    FARM = "farm"
    HERE = "here"


class Lost(Exception):
    """A side of a race has ended without a result: the other one won, or it was withdrawn."""


class Undecided(Exception):
    """A side of a race has failed, perhaps by no fault of the action."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Race:
    """One action that the farm is asked to run.

    Both sides may `claim` it, and that of the farm may `enter` it; the rest is for the thread that
    leads the build.
    """

    def __init__(self) -> None:
        self.there, self.here = Waiting(), Cancellation()
        self.task: Task | None = None  # from when the farm is asked for it
        self.since = 0.0  # time.monotonic() at that moment, or when a side last left
        self.is_fit = True  # whether it may run here
        self.error: Exception | None = None  # of a side that left it undecided
        self.sides = {Side.FARM}  # at work on it
        self.had_both = False  # whether both were at work on it when it was won
        self._winner: Side | None = None
        self._lock = threading.Lock()

    def enter(self, task: Task) -> None:
        """Know that the farm is asked for it, and would run it, from now on."""
        self.since = time.monotonic()
        self.task = task

    def claim(self, side: Side) -> bool:
        """Let the result of a side count, unless that of the other does; it is ended then."""
        with self._lock:
            if self._winner is None:
                self._winner, self.had_both = side, len(self.sides) == 2
            if self._winner is not side:
                return False
        (self.here if side is Side.FARM else self.there).end()
        return True

    @property
    def is_over(self) -> bool:
        """Whether a result counts."""
        return self._winner is not None

    def is_lost(self, side: Side) -> bool:
        """Whether the result of the other side counts."""
        return self._winner not in (None, side)

    @property
    def may_begin(self) -> bool:
        """Whether it could run here too."""
        waits = self.task is not None and self.is_fit and self.sides == {Side.FARM}
        return waits and not self.is_over

    def begin(self) -> Task | None:
        """Know that it runs here too; None where a result has come just now."""
        with self._lock:
            if self._winner is not None:
                return None
            self.here = Cancellation()
            self.sides.add(Side.HERE)
        return self.task

    def leave(self, side: Side, error: Exception | None = None) -> bool:
        """Know that a side is at its end, perhaps undecided; whether nobody can win any more."""
        with self._lock:
            self.sides.discard(side)
        self.since = time.monotonic()
        if error is not None:
            self.error, self.is_fit = self.error or error, False
        return not self.sides and not self.is_over


class Races:
    """Those of a build, as the thread that leads it sees them."""

    def __init__(self, delay: float | None) -> None:
        """`delay` is in seconds; None for no races."""
        self._delay = delay
        self._races: dict[Action, Race] = {}

    def enter(self, action: Action) -> Race | None:
        """A race for an action that the farm is asked about; None where it is to have none.

        Tests have none: they would be slow, and fail, for what else runs here.
        """
        if self._delay is None or action.timeout or action.fleeting:
            return None
        if placement.NO_RACE in action.placement:
            return None
        race = self._races[action] = Race()
        return race

    def get(self, action: Action) -> Race | None:
        """The race of an action."""
        return self._races.get(action)

    def drop(self, action: Action) -> None:
        """Forget a race that nobody is at work on."""
        if not self._races[action].sides:
            del self._races[action]

    @property
    def losers(self) -> int:
        """How many threads are at work on what does not count any more."""
        return sum(race.is_lost(side) for race in self._races.values() for side in race.sides)

    def next(self, rank: Mapping[Action, tuple[int, int]]) -> Action | None:
        """What should run here too now: first what no worker has, then by rank."""
        if self._delay is None:
            return None
        due = time.monotonic() - self._delay
        fit = [
            (not race.there.is_queued, rank[action], action)
            for action, race in self._races.items()
            if race.may_begin and race.since <= due
        ]
        return min(fit, key=lambda each: each[:2])[2] if fit else None

    def seconds(self, most: float) -> float:
        """How long nothing can become due, `most` at most."""
        if self._delay is None:
            return most
        now = time.monotonic()
        left = [race.since + self._delay - now for race in self._races.values() if race.may_begin]
        return min([most, *(each for each in left if each > 0)])

    def give_way(self) -> None:
        """Something is to be done that only this machine does: one that runs here too ends."""
        both = [race for race in self._races.values() if len(race.sides) == 2]
        if any(race.here.is_ended for race in both):
            return  # that place is free at once
        for race in [race for race in both if not race.is_over][-1:]:
            race.here.end()


def is_doubtful(exit_code: int, printed: bytes) -> bool:
    """Whether an action may have failed for want of memory, or as somebody killed it."""
    return exit_code < 0 or exit_code >= _KILLED or (exit_code > 0 and _BY_OTHERS in printed)
