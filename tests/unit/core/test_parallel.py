"""Work in threads: all of it is done, and what goes wrong is told by who waits."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from lamina.core import parallel


def test_what_pieces_give_comes_in_their_order() -> None:
    assert parallel.run([partial(int, str(number)) for number in range(20)], 4) == [*range(20)]


def test_the_first_error_is_raised() -> None:
    def fail() -> int:
        raise ValueError("this")

    with pytest.raises(ValueError, match="this"):
        parallel.run([lambda: 1, fail], 1)


def test_both_are_done_at_once() -> None:
    mine, other = threading.Event(), threading.Event()

    def first() -> None:
        mine.set()
        assert other.wait(10)

    def meanwhile() -> str:
        assert mine.wait(10)
        other.set()
        return "done"

    assert parallel.beside(first, meanwhile) == "done"
    assert "beside" not in [each.name for each in threading.enumerate()]


def test_what_goes_wrong_meanwhile_comes_after_the_work() -> None:
    done = []

    def meanwhile() -> None:
        raise ValueError("meanwhile")

    with pytest.raises(ValueError, match="meanwhile"):
        parallel.beside(lambda: done.append("work"), meanwhile)
    assert done == ["work"]


def test_an_error_of_the_work_waits_for_nothing() -> None:
    may_end = threading.Event()

    def meanwhile() -> None:
        may_end.wait(30)

    def work() -> None:
        raise ValueError("work")

    with pytest.raises(ValueError, match="work"):
        parallel.beside(work, meanwhile)
    may_end.set()
