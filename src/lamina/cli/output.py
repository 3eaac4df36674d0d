"""What a person sees: progress, tables, errors. The only module that prints.

Data goes to stdout, everything else to stderr. On a terminal, progress is one region that rich
redraws; elsewhere it is plain lines.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from lamina.core.errors import LaminaError

if TYPE_CHECKING:
    from lamina.build.events import Outcome
    from lamina.core.action import Action


def size(count: int) -> str:
    """Bytes for people: `512 B`, `4.1 KiB`."""
    value, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1023.95 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{count} B" if units[0] == "B" else f"{value:.1f} {units[0]}"


def plural(count: int, noun: str) -> str:
    """`1 layer`, `5 layers`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def data(text: str) -> None:
    """Print a line of data."""
    print(text)  # noqa: T201


def document(value: object) -> None:
    """Print data as JSON."""
    data(json.dumps(value, indent=2))


def note(text: str) -> None:
    """Tell the person something that is no data, after all data so far."""
    sys.stdout.flush()
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def error(fault: LaminaError, *, as_json: bool) -> None:
    """Report a failure: `error:` and `hint:` on stderr, or fields on stdout."""
    if as_json:
        fields = {"class": _class(fault), "message": fault.message, "hint": fault.hint}
        document({"error": fields | {"exit_code": fault.exit_code}})
        return
    note(f"error: {fault.message}")
    if fault.hint:
        note(f"hint: {fault.hint}")


def _class(fault: LaminaError) -> str:
    """The documented class of a fault; what lies below it is a matter of lamina's own."""
    documented = (kind for kind in type(fault).__mro__ if kind.__module__ == LaminaError.__module__)
    return next(documented).__name__


def table(header: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> None:
    """Print rows under a header in columns; the columns in `right` are flush right."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    flush = set(right)
    for line in lines:
        cells = [
            text.rjust(width) if column in flush else text.ljust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ]
        data("  ".join(cells).rstrip())


class Progress(Protocol):
    """A listener of the engine that shows how a build goes on."""

    def planned(self, actions: int) -> None: ...
    def started(self, action: Action) -> None: ...
    def finished(self, outcome: Outcome) -> None: ...
    def failed(self, action: Action, error: LaminaError) -> None: ...
    def close(self) -> None: ...


class PlainProgress:
    """A line for each action that ran; nothing for those that were known."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._total = 0
        self._done = 0

    def planned(self, actions: int) -> None:
        self._total += actions

    def started(self, action: Action) -> None:
        """Plain lines tell of what is done, not of what begins."""

    def finished(self, outcome: Outcome) -> None:
        self._done += 1
        if not outcome.cached and not self._quiet:
            note(f"[{self._done}/{self._total}] {outcome.action}")
        if outcome.printed:
            note(outcome.printed.decode(errors="replace").rstrip())

    def failed(self, action: Action, error: LaminaError) -> None:
        """What failed is told once, at the end."""

    def close(self) -> None:
        """There is nothing to wipe."""


class TerminalProgress:
    """One region at the bottom of the terminal: what runs now, how many done, elapsed."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._begun = time.monotonic()
        self._running: dict[Action, float] = {}
        self._total = self._done = self._cached = 0
        console = Console(stderr=True)
        self._live = Live(
            console=console, get_renderable=self._render, transient=True, refresh_per_second=10
        )
        self._shown = False

    def planned(self, actions: int) -> None:
        self._total += actions
        if actions and not self._shown:
            self._live.start()
            self._shown = True

    def started(self, action: Action) -> None:
        self._running[action] = time.monotonic()

    def finished(self, outcome: Outcome) -> None:
        self._running.pop(outcome.action, None)
        self._done += 1
        self._cached += outcome.cached
        if outcome.printed:
            printed = outcome.printed.decode(errors="replace").rstrip()
            self._live.console.print(printed, markup=False)

    def failed(self, action: Action, error: LaminaError) -> None:
        """What failed is told once, at the end."""
        self._running.pop(action, None)

    def close(self) -> None:
        """Wipe the region."""
        if self._shown:
            self._live.stop()

    def _render(self) -> str:
        now = time.monotonic()
        head = (
            f"[bold]{self._done}/{self._total}[/] actions, {self._cached} cached, "
            f"{now - self._begun:.1f} s"
        )
        running = [
            f"  {str(action).replace('[', chr(92) + '[')}  [dim]{now - since:.1f} s[/]"
            for action, since in list(self._running.items())
        ]
        return "\n".join((head, *running))


def progress(*, quiet: bool) -> Progress:
    """The progress that fits stderr."""
    if quiet or not sys.stderr.isatty():
        return PlainProgress(quiet=quiet)
    return TerminalProgress()
