"""The memory of this process."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from lamina.linux import syscalls

_PART = 4 << 20  # bytes that are copied at once


def make_own() -> Iterator[int]:
    """Copy what is still shared with the process that this is a fork of, part by part; their bytes.

    Else each page is copied when it is first written to, at ten times the price. Raises OSError
    where the kernel does not know how (before 5.14), or has no more memory.
    """
    for begin, end in _private():
        for part in range(begin, end, _PART):
            size = min(_PART, end - part)
            try:
                syscalls.populate(part, size)
            except OSError as error:
                if error.errno != errno.ENOMEM or (begin, end) in _private():
                    raise
                break  # it went meanwhile, as what the list of them has taken does
            yield size


def _private() -> list[tuple[int, int]]:
    """Where this process may write to memory that is its own; proc_pid_maps(5)."""
    with open("/proc/self/maps", "rb") as file:  # noqa: PTH123 - pathlib is dear
        lines = [line.split(maxsplit=5) for line in file]
    places = [words[0].split(b"-") for words in lines if words[1] == b"rw-p"]
    return [(int(begin, 16), int(end, 16)) for begin, end in places]
