"""Short forms of what tools print: a person reads a screen of it, not a thousand lines."""

from __future__ import annotations

import re
import unicodedata

_HEAD, _TAIL = 60, 30  # lines: what is wrong mostly stands first, what a program says last
_WIDTH = 1000  # characters of one line
_CODE = re.compile(r"failed with exit code \d+")
_ERROR = re.compile(r"\b(error|fatal|undefined reference|exception|traceback)\b", re.IGNORECASE)


def clipped(text: str) -> str:
    """The text without its middle, where it is long."""
    lines = text.rstrip().split("\n")
    if len(lines) > _HEAD + _TAIL + 1:
        count = len(lines) - _HEAD - _TAIL
        note = f"… {count} lines are left out; `lamina log failed` has them …"
        lines = [*lines[:_HEAD], note, *lines[-_TAIL:]]
    return "\n".join(line if len(line) <= _WIDTH else f"{line[:_WIDTH]}…" for line in lines)


def first_error(message: str) -> str:
    """The line that says best what went wrong with an action."""
    head, _, words = message.partition("\n")
    lines = [line.strip() for line in words.split("\n") if line.strip()]
    told = [line for line in lines if _ERROR.search(line)]
    code = _CODE.search(head)
    return (told or lines or [code[0] if code else head])[0]


def fitted(text: str, width: int) -> str:
    """The text in so many columns of a terminal: cut in its middle, as paths differ at their ends.

    What would move the cursor becomes `?`.
    """
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    if columns(text) <= width:
        return text
    if width < 2:
        return "…"[:width]
    head = _taken(text, (width - 1) // 3)
    tail = _taken(text[::-1], width - 1 - columns(head))[::-1]
    return f"{head}…{tail}"


def columns(text: str) -> int:
    """How many columns of a terminal a text takes."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def _taken(text: str, width: int) -> str:
    """As much of the beginning as fits."""
    used = 0
    for index, letter in enumerate(text):
        used += _columns(letter)
        if used > width:
            return text[:index]
    return text
