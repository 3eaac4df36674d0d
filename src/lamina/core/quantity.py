"""Sizes and times as people write them."""

from __future__ import annotations

import re

from lamina.core.errors import UserError

_MOST = 2.0**63  # bytes; no disk and no memory has as many
_LONGEST = 64  # letters of a time
_UNITS = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}
_PARTS = re.compile(r"(\d+(?:\.\d+)?)\s*([wdhms])")
_CLOCK = re.compile(r"(?:(\d+)-)?(\d+):(\d{1,2})(?::(\d{1,2}))?")


def size(text: str) -> int:
    """Bytes from `20G`, `512 MiB`, `1000000`; a unit counts by 1024. Raises UserError."""
    number = text.strip().rstrip("iBb").rstrip()
    unit = "KMGT".find(number[-1:].upper()) if number and not number[-1].isdecimal() else -1
    digits = number[:-1].strip() if unit >= 0 else number
    try:
        value = float(digits) * 1024.0 ** (unit + 1)
    except ValueError:
        value = -1.0
    if not 0 <= value < _MOST:
        raise UserError(f"`{text}` is no size", hint="such as `20G`, `512M` or `1000000`")
    return int(value)


def duration(text: str) -> int:
    """Seconds from `90s`, `1h30m`, `2d`, `90`, or `[days-]hours:minutes[:seconds]` as in Slurm.

    A number alone are seconds; parts of one are rounded up. Raises UserError.
    """
    word = text.strip().lower()
    if len(word) > _LONGEST:
        raise _no_time(text)
    if word.isdecimal():
        return int(word)
    if clock := _CLOCK.fullmatch(word):
        days, hours, minutes, seconds = (int(each or 0) for each in clock.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    parts = _PARTS.findall(word)
    if not parts or _PARTS.sub("", word).strip():
        raise _no_time(text)
    return -int(-sum(float(number) * _UNITS[unit] for number, unit in parts) // 1)


def _no_time(text: str) -> UserError:
    return UserError(f"`{text}` is no time", hint="such as `90s`, `1h30m`, `2d` or `12:00:00`")
