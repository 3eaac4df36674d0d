"""The memory of this process."""

from __future__ import annotations

import errno

from lamina.linux import syscalls


def make_own() -> int:
    """Copy what is still shared with the process that this is a fork of; so many bytes it may be.

    Else each page is copied when it is first written to, at ten times the price. Raises OSError
    where the kernel does not know how (before 5.14), or has no more memory.
    """
    found = 0
    for begin, end in _private():
        try:
            syscalls.populate(begin, end - begin)
        except OSError as error:
            if error.errno != errno.ENOMEM or (begin, end) in _private():
                raise
            continue  # it went meanwhile, as what the list of them has taken does
        found += end - begin
    return found


def _private() -> list[tuple[int, int]]:
    """Where this process may write to memory that is its own; proc_pid_maps(5)."""
    with open("/proc/self/maps", "rb") as file:  # noqa: PTH123 - pathlib is dear
        lines = [line.split(maxsplit=5) for line in file]
    places = [words[0].split(b"-") for words in lines if words[1] == b"rw-p"]
    return [(int(begin, 16), int(end, 16)) for begin, end in places]
