"""A fork's memory of its own: no page is copied any more when it is written to."""

from __future__ import annotations

import ctypes
import mmap
import os
import re
import resource
from collections.abc import Callable

import pytest

from lamina.linux import memory

_PAGES = 2000
_KERNEL = [int(number) for number in re.findall(r"[0-9]+", os.uname().release)[:2]]
pytestmark = pytest.mark.skipif(_KERNEL < [5, 14], reason="the kernel does not know how")


def _faults_of_a_fork(before: Callable[[], object]) -> int:
    """Faults of a fork that writes to memory which it has from its parent, after something else."""
    shared = bytearray(_PAGES * mmap.PAGESIZE)
    shared[:: mmap.PAGESIZE] = b"1" * _PAGES
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            before()
            begin = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            for at in range(0, len(shared), mmap.PAGESIZE):
                shared[at] = 2
            found = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begin
            os.write(writer, b"%d" % found)
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    try:
        return int(os.read(reader, 100))
    finally:
        os.close(reader)


def test_what_is_shared_is_copied_at_once() -> None:
    assert sum(memory.make_own()) > mmap.PAGESIZE
    assert _faults_of_a_fork(lambda: None) >= _PAGES
    assert _faults_of_a_fork(lambda: list(memory.make_own())) < _PAGES // 4


@pytest.fixture
def gone() -> tuple[int, int]:
    """Where something lay in memory."""
    size = 8 * mmap.PAGESIZE
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE) as mapped:
        begin = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
    return begin, begin + size


def test_what_is_unmapped_meanwhile_is_left_out(
    gone: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = iter([[gone], []])
    monkeypatch.setattr(memory, "_private", lambda: next(found))

    assert list(memory.make_own()) == []


def test_memory_that_cannot_be_had_is_told(
    gone: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_private", lambda: [gone])

    with pytest.raises(OSError, match="Cannot allocate memory"):
        list(memory.make_own())
