"""What a person sees of a build while it goes on, and of its failures at its end.

On a terminal some lines at its bottom are drawn again and again (`screen`); elsewhere, as in the
log of a CI system, plain lines tell what ran, and of long builds how far they are. Failures and
warnings are printed when they happen.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from lamina.cli import excerpt, output
from lamina.core.classes import dataclass, field

if TYPE_CHECKING:
    from lamina.build.events import Outcome
    from lamina.core.action import Action
    from lamina.core.errors import LaminaError

_LISTED = 20  # so many failures are listed again at the end
_LINES = 40  # after so many lines for actions, a log only tells how far the build is
_EVERY = 5.0  # seconds between two such lines
_ALIVE = 30.0  # seconds after which a log gets a line though nothing has happened

MODES = ("auto", "super", "simple", "none")


@dataclass(slots=True)
class Tally:
    """How far a build has come."""

    begun: float = field(default_factory=time.monotonic)
    phase: str = ""
    detail: Callable[[], str] = str
    total: int = 0
    done: int = 0
    ran: int = 0
    cached: int = 0
    farm_ran: int = 0  # of those that ran, in the build farm
    farm_cached: int = 0  # of those that were known, to the build farm alone
    raced_here: int = 0  # of those that ran in both places, how many were done here first
    raced_farm: int = 0  # and how many there
    failures: list[tuple[Action, LaminaError]] = field(default_factory=list)
    running: dict[Action, float] = field(default_factory=dict)  # since when

    def longest(self) -> list[tuple[str, float]]:
        """What runs, and for how long, the longest first."""
        now = time.monotonic()
        # The copy is made in one step: the thread of the build goes on meanwhile.
        begun = sorted(self.running.copy().items(), key=lambda item: item[1])
        return [(str(action), now - since) for action, since in begun]

    @property
    def elapsed(self) -> float:
        """Seconds since the build began."""
        return time.monotonic() - self.begun

    def counts(self) -> str:
        """`12 actions run, 88 cached`; with a build farm `12 actions run (8 remote), …`.

        Where some ran in both places: `…, 88 cached; 3 raced, 1 remote and 2 local first`.
        """
        ran = f" ({self.farm_ran} remote)" if self.farm_ran else ""
        cached = f" ({self.farm_cached} remote)" if self.farm_cached else ""
        raced = self.raced_here + self.raced_farm
        first = f"; {raced} raced, {self.raced_farm} remote and {self.raced_here} local first"
        counts = f"{output.plural(self.ran, 'action')} run{ran}, {self.cached} cached{cached}"
        return counts + first * bool(raced)


class Display(Protocol):
    """How progress is shown; `ran` comes from the thread of the build, `tick` from another."""

    every: float  # seconds between two ticks; 0 for none

    def ran(self, tally: Tally, action: Action) -> None: ...
    def tick(self, tally: Tally) -> None: ...
    def close(self) -> None: ...


class Console:
    """A listener of the engine that shows how a build goes on."""

    def __init__(self, display: Display) -> None:
        self.tally = Tally()
        self._display = display
        self._warnings: set[bytes] = set()
        self._hints: set[str] = set()
        self._is_last = False  # whether the only failure is the last thing that was printed
        self._ended = threading.Event()
        self._ticker: threading.Thread | None = None

    def phase(self, name: str, detail: Callable[[], str] = str) -> None:
        """What is done now, and what tells how far that is."""
        self.tally.phase, self.tally.detail = name, detail
        self._begin()

    def planned(self, actions: int) -> None:
        self.tally.total += actions
        self._begin()

    def started(self, action: Action) -> None:
        self.tally.running[action] = time.monotonic()

    def finished(self, outcome: Outcome) -> None:
        tally, action = self.tally, outcome.action
        tally.running.pop(action, None)
        tally.done += 1
        if outcome.cached:
            tally.cached += 1
            tally.farm_cached += outcome.farm
        else:
            tally.ran += 1
            tally.farm_ran += outcome.farm
            tally.raced_farm += outcome.raced and outcome.farm
            tally.raced_here += outcome.raced and not outcome.farm
            self._display.ran(tally, action)
            self._is_last = False
        if outcome.printed and outcome.printed not in self._warnings:
            self._warnings.add(outcome.printed)
            words = excerpt.clipped(outcome.printed.decode(errors="replace"))
            output.warning(f"`{action.owner}`: {action}\n{words}")

    def failed(self, action: Action, error: LaminaError) -> None:
        self.tally.running.pop(action, None)
        self.tally.done += 1
        self._is_last = not self.tally.failures
        self.tally.failures.append((action, error))
        words = f"{output.painted('error:', output.RED)} {excerpt.clipped(error.message)}"
        output.note(words)
        if error.hint and error.hint not in self._hints:
            self._hints.add(error.hint)
            output.hint(error.hint)
        output.mark_told(error)

    def close(self) -> None:
        """End the display; lines may be printed by anyone."""
        self._ended.set()
        if self._ticker is not None:
            self._ticker.join()  # who enters a namespace must be the only thread
            self._ticker = None
        self._display.close()

    def summary(self) -> None:
        """Tell of failures once more, and how the build went; of a build without any nothing."""
        failures = self.tally.failures
        if not failures:
            return
        if not self._is_last:
            output.note("")
            for action, error in failures[:_LISTED]:
                output.note(f"  {action.owner}  {action}: {excerpt.first_error(error.message)}")
            if len(failures) > _LISTED:
                output.note(f"  and {len(failures) - _LISTED} more; `lamina log failed` tells all")
        failed = f"{output.plural(len(failures), 'action')} failed"
        seconds = output.duration(self.tally.elapsed)
        head = output.painted("build failed:", output.RED)
        output.note(f"{head} {failed}; {self.tally.counts()}; {seconds}")

    def _begin(self) -> None:
        if self._display.every and self._ticker is None and not self._ended.is_set():
            ticker = threading.Thread(target=self._tick, name="console", daemon=True)
            ticker.start()  # where the machine refuses that, there is none to wait for
            self._ticker = ticker

    def _tick(self) -> None:
        while not self._ended.wait(self._display.every):
            self._display.tick(self.tally)


class Silence:
    """Shows nothing."""

    every = 0.0

    def ran(self, tally: Tally, action: Action) -> None:
        """Nothing is shown."""

    def tick(self, tally: Tally) -> None:
        """Nothing is shown."""

    def close(self) -> None:
        """Nothing was shown."""


class Lines:
    """Plain lines: the first actions that run, and then how far the build is now and then."""

    def __init__(self, every: float = 1.0) -> None:
        self.every = every
        self._printed = 0
        self._last = time.monotonic()
        self._done = 0

    def ran(self, tally: Tally, action: Action) -> None:
        self._printed += 1
        if self._printed <= _LINES:
            self._print(f"[{tally.done}/{tally.total}] {action}", tally)

    def tick(self, tally: Tally) -> None:
        """Print a line if the log has been silent for long."""
        silent = time.monotonic() - self._last
        news = self._printed > _LINES and tally.done > self._done
        if tally.running and silent >= (_EVERY if news else _ALIVE):
            elapsed = output.duration(tally.elapsed)
            line = f"[{tally.done}/{tally.total}] {tally.cached} cached, {elapsed}"
            slow = [(text, seconds) for text, seconds in tally.longest() if seconds >= _EVERY]
            for text, seconds in slow[:1]:
                line += f"; {text} for {output.duration(seconds)}"
            self._print(line, tally)

    def close(self) -> None:
        """There is nothing to wipe."""

    def _print(self, line: str, tally: Tally) -> None:
        output.note(line)
        self._last = time.monotonic()
        self._done = tally.done


def choose(*, mode: str, quiet: bool) -> Console:
    """The console that fits stderr, or the one that is asked for."""
    if quiet or mode == "none":
        return Console(Silence())
    if mode == "super" or (mode == "auto" and output.is_terminal()):
        from lamina.cli.screen import Screen

        return Console(Screen())
    return Console(Lines())
