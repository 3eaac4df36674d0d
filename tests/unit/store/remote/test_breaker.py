"""When a service is left alone, by a clock of the test."""

from __future__ import annotations

from lamina.store.remote.breaker import Breaker


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def failing(clock: Clock, times: int) -> Breaker:
    breaker = Breaker(clock)
    for _ in range(times):
        breaker.failed("gone")
    return breaker


def test_it_opens_after_three_failures_in_a_row() -> None:
    assert failing(Clock(), 2).allows()
    assert not failing(Clock(), 3).allows()


def test_an_answer_in_between_counts_as_well() -> None:
    breaker = failing(Clock(), 2)
    breaker.succeeded()
    breaker.failed("gone")

    assert breaker.allows()


def test_after_a_pause_one_request_is_let_through() -> None:
    clock = Clock()
    breaker = failing(clock, 3)
    clock.now = 31

    assert [breaker.allows(), breaker.allows()] == [True, False]


def test_it_counts_as_open_until_the_pause_is_over() -> None:
    clock = Clock()
    breaker = failing(clock, 3)

    assert breaker.is_open
    clock.now = 31
    assert not breaker.is_open


def test_it_closes_when_that_is_answered() -> None:
    clock = Clock()
    breaker = failing(clock, 3)
    clock.now = 31
    breaker.allows()
    breaker.succeeded()

    assert [breaker.allows(), breaker.allows()] == [True, True]
    assert not breaker.is_open


def test_it_tells_why() -> None:
    assert failing(Clock(), 3).reason == "gone"
