"""Who wins a race, and what may race at all."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from lamina.build.performer import Task
from lamina.build.race import Race, Races, Side, is_doubtful
from lamina.core.action import Action

ACTION = Action("Test", "//:a", ("true",), (), ("a",))
OTHER = Action("Test", "//:b", ("true",), (), ("b",))
RANK = {ACTION: (-1, 0), OTHER: (0, 1)}


def running(races: Races, action: Action) -> Race:
    """An action that runs in the farm."""
    race = races.enter(action)
    assert race is not None
    race.enter(Task(action, {}, 0.0))
    race.there.is_queued = False
    return race


@pytest.fixture
def races() -> Races:
    return Races(0.0)


@pytest.mark.parametrize("first", list(Side))
def test_the_first_claim_wins_and_ends_the_other_side(races: Races, first: Side) -> None:
    race = running(races, ACTION)
    race.begin()
    second = Side.HERE if first is Side.FARM else Side.FARM

    assert race.claim(first)
    assert not race.claim(second)
    assert race.claim(first)

    assert race.is_lost(second)
    assert not race.is_lost(first)
    assert race.had_both
    assert (race.here.is_ended, race.there.is_ended) == (first is Side.FARM, first is Side.HERE)


def _claimed(race: Race) -> list[Side]:
    """The sides that eight threads at once have claimed a race for."""
    start, won = threading.Barrier(8), list[Side]()

    def claim(side: Side) -> None:
        start.wait()
        if race.claim(side):
            won.append(side)

    threads = [threading.Thread(target=claim, args=(side,)) for side in [*Side] * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return won


def test_of_many_claims_at_once_one_side_wins() -> None:
    for _ in range(200):
        assert len(set(_claimed(Race()))) == 1


def test_what_is_decided_does_not_begin_here(races: Races) -> None:
    race = running(races, ACTION)
    race.claim(Side.FARM)

    assert races.next(RANK) is None
    assert race.begin() is None
    assert not race.had_both


def test_a_race_with_nobody_left_is_undecided(races: Races) -> None:
    race = running(races, ACTION)
    race.begin()

    assert not race.leave(Side.FARM)
    assert race.leave(Side.HERE, OSError("full"))
    assert isinstance(race.error, OSError)


def test_what_no_worker_has_comes_first_and_then_what_most_waits_for(races: Races) -> None:
    first, second = running(races, ACTION), running(races, OTHER)

    assert races.next(RANK) is ACTION
    second.there.is_queued = True
    assert races.next(RANK) is OTHER
    second.begin()
    assert races.next(RANK) is ACTION
    first.is_fit = False
    assert races.next(RANK) is None


def test_what_is_asked_for_and_does_not_run_there_yet_does_not_race(races: Races) -> None:
    races.enter(ACTION)

    assert races.next(RANK) is None


def test_nothing_races_before_the_delay() -> None:
    races = Races(3600.0)
    running(races, ACTION)

    assert races.next(RANK) is None
    assert races.seconds(0.2) == 0.2
    assert 3000 < races.seconds(1e9) <= 3600


def test_one_at_a_time_gives_way_and_may_begin_again(races: Races) -> None:
    first, second = running(races, ACTION), running(races, OTHER)
    first.begin()
    second.begin()

    races.give_way()
    races.give_way()

    assert (first.here.is_ended, second.here.is_ended) == (False, True)
    assert not second.leave(Side.HERE)
    assert races.next(RANK) is OTHER
    second.begin()
    assert not second.here.is_ended


def test_a_run_here_that_the_farm_has_given_up_does_not_give_way(races: Races) -> None:
    race = running(races, ACTION)
    race.begin()
    race.leave(Side.FARM)

    races.give_way()

    assert not race.here.is_ended


def test_losers_are_those_who_still_work_in_vain(races: Races) -> None:
    race = running(races, ACTION)
    race.begin()
    assert races.losers == 0

    race.claim(Side.HERE)
    assert races.losers == 1

    race.leave(Side.HERE)
    races.drop(ACTION)
    assert races.losers == 1
    race.leave(Side.FARM)
    races.drop(ACTION)
    assert races.losers == 0
    assert races.get(ACTION) is None


def test_tests_have_no_race_nor_has_anything_without_a_delay(races: Races) -> None:
    assert races.enter(replace(ACTION, timeout=60.0)) is None
    assert races.enter(replace(ACTION, fleeting="a")) is None
    assert Races(None).enter(ACTION) is None


@pytest.mark.parametrize(
    ("code", "words", "doubtful"),
    [
        (0, b"", False),
        (1, b"error: no such thing", False),
        (127, b"", False),
        (137, b"", True),
        (-9, b"", True),
        (1, b"g++: fatal error: Killed signal terminated program cc1plus", True),
    ],
)
def test_what_may_be_the_fault_of_a_machine(code: int, words: bytes, doubtful: bool) -> None:
    assert is_doubtful(code, words) == doubtful
