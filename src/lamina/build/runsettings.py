"""`[run]` of `lamina.toml`: what `lamina run` takes where its command line says nothing.

The keys are the options with `_` for `-`; what the values mean is found out when they are used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

_SWITCHES = ("contain", "require_limits")
_TEXTS = ("memory", "network", "user", "workdir", "hostname", "shm_size", "runtime")
_NUMBERS = ("cpus", "pids", "io_weight", "stop_timeout")
_LISTS = ("mount", "volume", "tmpfs", "env", "ulimit", "device")
KEYS = (*_SWITCHES, *_TEXTS, *_NUMBERS, *_LISTS)


def faults(table: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Each key with what is wrong with it."""
    for key, value in table.items():
        if key in _SWITCHES and not isinstance(value, bool):
            yield key, f"`{key}` in `[run]` takes `true` or `false`"
        elif key in _TEXTS and not (isinstance(value, str) and value):
            yield key, f"`{key}` in `[run]` takes a string"
        elif key in _NUMBERS and not _is_number(value):
            yield key, f"`{key}` in `[run]` takes a number above 0"
        elif key in _LISTS and not _is_list(value):
            yield key, f"`{key}` in `[run]` takes a list of strings"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _is_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
