"""What a person sees: tables, documents, notes, errors. The only module that prints.

Data goes to stdout, everything else to stderr. What is redrawn at the bottom of a terminal
(`console`) makes way for each line and comes back below it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from lamina.core.errors import ActionError, LaminaError


class Region(Protocol):
    """Lines at the bottom of the terminal that are no part of what stays."""

    def away(self) -> AbstractContextManager[None]:
        """Wipe them while something is printed."""


region: Region | None = None  # the one there is


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


def duration(seconds: float) -> str:
    """`0.04 s`, `12.3 s`, `4 min 05 s`, `2 h 03 min`."""
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def data(text: str) -> None:
    """Print a line of data."""
    with _alone():
        print(text)  # noqa: T201


def raw(data: bytes) -> None:
    """Print bytes of a program as they are."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def document(value: object) -> None:
    """Print data as JSON."""
    data(json.dumps(value, indent=2))


def note(text: str) -> None:
    """Tell the person something that is no data, after all data so far."""
    with _alone():
        sys.stdout.flush()
        print(text, file=sys.stderr, flush=True)  # noqa: T201


def redraw(lines: Sequence[str], drawn: int) -> int:
    """Draw lines in place of the last so many on the terminal; how many there are now."""
    import shutil

    width = shutil.get_terminal_size().columns - 1
    up = f"\x1b[{drawn}A" if drawn else ""
    text = "".join(f"\r\x1b[K{line[:width]}\n" for line in lines)
    print(f"{up}{text}\x1b[J", end="", file=sys.stderr, flush=True)  # noqa: T201
    return len(lines)


def _alone() -> AbstractContextManager[None]:
    return contextlib.nullcontext() if region is None else region.away()


def error(fault: LaminaError, *, as_json: bool) -> None:
    """Report a failure: `error:` and `hint:` on stderr, or fields on stdout.

    An action's that was told when it happened is not told again, except as data.
    """
    if as_json:
        fields = {"class": _class(fault), "message": fault.message, "hint": fault.hint}
        document({"error": fields | {"exit_code": fault.exit_code}})
        return
    if all(id(part) in _told for part in _parts(fault)):
        return
    note(f"{painted('error:', RED)} {fault.message}")
    if fault.hint:
        hint(fault.hint)


_told: dict[int, LaminaError] = {}


def mark_told(fault: LaminaError) -> None:
    """Note that a failure was told when it happened."""
    _told[id(fault)] = fault


def _parts(fault: LaminaError) -> tuple[LaminaError, ...]:
    return (isinstance(fault, ActionError) and fault.parts) or (fault,)


def hint(text: str) -> None:
    """Advice on what was told before."""
    note(f"{painted('hint:', CYAN)} {text}")


def warning(text: str) -> None:
    """Tell of what is no failure, but not as it should be."""
    note(f"{painted('warning:', YELLOW)} {text}")


def _class(fault: LaminaError) -> str:
    """The documented class of a fault; what lies below it is a matter of lamina's own."""
    documented = (kind for kind in type(fault).__mro__ if kind.__module__ == LaminaError.__module__)
    return next(documented).__name__


RED, GREEN, YELLOW, CYAN, BOLD, DIM = "1;31", "1;32", "1;33", "1;36", "1", "2"


def painted(text: str, style: str) -> str:
    """The text as it looks on stderr: in a style where that is a terminal with colours."""
    return f"\x1b[{style}m{text}\x1b[0m" if _has_colour() else text


def is_terminal() -> bool:
    """Whether stderr is a terminal on which lines can be drawn again."""
    return os.environ.get("TERM") not in (None, "", "dumb") and sys.stderr.isatty()


def _has_colour() -> bool:
    # https://no-color.org
    return not os.environ.get("NO_COLOR") and is_terminal()


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
