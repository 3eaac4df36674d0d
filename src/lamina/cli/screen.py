"""The lines at the bottom of a terminal that show a build: how far it is, and what runs.

They are drawn in place by the control sequences that every terminal since the VT100 knows, a few
times a second, in one write each. They are gone when the build ends.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lamina.cli import excerpt, output

if TYPE_CHECKING:
    from lamina.cli.console import Tally
    from lamina.core.action import Action

_RUNNING = 10  # so many running actions are shown
_PATIENCE = 0.15  # seconds before anything is drawn: what is done sooner needs no progress
_UP_AND_CLEAR = "\x1b[{}A\r\x1b[J"


class Screen:
    """Draws a tally at the bottom of the terminal, below all lines that are printed."""

    every = 0.1

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._begun = time.monotonic()
        self._height = 0  # lines that are drawn at the moment
        self._tally: Tally | None = None
        output.region = self

    def ran(self, tally: Tally, action: Action) -> None:
        """What ran is not listed: the screen shows what runs."""

    def tick(self, tally: Tally) -> None:
        """Draw."""
        with self._lock:
            self._tally = tally
            if time.monotonic() - self._begun >= _PATIENCE:
                self._draw()

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Wipe what is drawn while something is printed, and draw it again below."""
        with self._lock:
            shown = self._height > 0
            self._wipe()
            yield
            if shown:
                self._draw()

    def close(self) -> None:
        """Wipe what is drawn for good."""
        with self._lock:
            self._wipe()
            self._tally = None
        if output.region is self:
            output.region = None

    def _draw(self) -> None:
        size = _size()
        lines = [] if self._tally is None else rendered(self._tally, size)
        text = "".join(f"{line}\n" for line in lines)
        self._write((_UP_AND_CLEAR.format(self._height) if self._height else "") + text)
        self._height = len(lines)

    def _wipe(self) -> None:
        if self._height:
            self._write(_UP_AND_CLEAR.format(self._height))
            self._height = 0

    def _write(self, text: str) -> None:
        if text:
            sys.stderr.write(text)
            sys.stderr.flush()


def rendered(tally: Tally, size: os.terminal_size) -> list[str]:
    """The lines that show a tally on a terminal of some size."""
    if not tally.phase and not tally.running:
        return []
    width = size.columns - 1  # a full line may wrap
    elapsed = _clock(tally.elapsed)
    if not tally.running and tally.done == tally.total:
        detail = tally.detail()
        parts = [part for part in (detail, elapsed) if part]
        return [_head(tally.phase, ", ".join(parts), width)]
    parts = [f"{tally.cached} cached", f"{len(tally.running)} running", elapsed]
    if tally.failures:
        parts.insert(0, f"{len(tally.failures)} failed")
    head = _head(f"[{tally.done}/{tally.total}]", ", ".join(parts), width)
    running = tally.longest()
    limit = max(1, min(_RUNNING, size.lines - 3))
    lines = [_line(text, seconds, width) for text, seconds in running[:limit]]
    if len(running) > limit:
        lines.append(excerpt.fitted(f"{'':>10}and {len(running) - limit} more", width))
    return [head, *lines]


def _head(first: str, rest: str, width: int) -> str:
    rest = excerpt.fitted(rest, width - len(first) - 1)
    return f"{output.painted(first, output.BOLD)} {rest}"


def _line(text: str, seconds: float, width: int) -> str:
    told = output.painted(f"{_clock(seconds):>10}", output.DIM)
    return f"{told}  {excerpt.fitted(text, width - 12)}"


def _clock(seconds: float) -> str:
    """A time that grows, always with one digit behind the point while it is short."""
    return f"{seconds:.1f} s" if seconds < 60 else output.duration(seconds)


def _size() -> os.terminal_size:
    try:
        return os.get_terminal_size(sys.stderr.fileno())
    except OSError:
        return os.terminal_size((80, 24))
