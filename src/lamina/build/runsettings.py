"""`[run]` of `lamina.toml`: what `lamina run` takes where its command line says nothing.

The keys are the options with `_` for `-`; what the values mean is found out when they are used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lamina.build.faults import Fault, Place, did_you_mean

_SWITCHES = ("contain", "require_limits")
_TEXTS = ("memory", "network", "user", "workdir", "hostname", "shm_size", "runtime")
_NUMBERS = ("cpus", "pids", "io_weight", "stop_timeout")
_LISTS = ("mount", "volume", "tmpfs", "env", "ulimit", "device")
KEYS = (*_SWITCHES, *_TEXTS, *_NUMBERS, *_LISTS)


def faults(table: Mapping[str, object], place: Callable[[str], Place]) -> list[Fault]:
    """What is wrong in the section; `place` finds a key."""
    found = []
    for key, value in table.items():
        if key not in KEYS:
            hint = did_you_mean(key, KEYS, "`docs/containers.md` lists them")
            found.append(Fault(place(key), f"unknown key `{key}` in `[run]`", hint))
        elif wanted := _wanted(key, value):
            found.append(Fault(place(key), f"`{key}` in `[run]` takes {wanted}"))
    return found


def _wanted(key: str, value: object) -> str:
    """What a key takes, where a value is not that."""
    if key in _SWITCHES:
        return "" if isinstance(value, bool) else "`true` or `false`"
    if key in _TEXTS:
        return "" if isinstance(value, str) and value else "a string"
    if key in _NUMBERS:
        return "" if _is_number(value) else "a number above 0"
    return "" if _is_list(value) else "a list of strings"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _is_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
