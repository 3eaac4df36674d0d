"""What one thread does and another ends."""

from __future__ import annotations

import threading

import pytest

from lamina.core.cancellation import Cancellation, Ended


def test_what_is_under_way_is_ended_and_what_is_done_is_not() -> None:
    cancellation, ended = Cancellation(), list[str]()

    with cancellation.ends_by(lambda: ended.append("done")):
        pass
    with cancellation.ends_by(lambda: ended.append("under way")):
        cancellation.end()

    assert ended == ["under way"]
    assert cancellation.is_ended


def test_what_begins_after_the_end_ends_at_once() -> None:
    cancellation, ended = Cancellation(), list[str]()
    cancellation.end()

    with cancellation.ends_by(lambda: ended.append("late")):
        assert ended == ["late"]
    with pytest.raises(Ended):
        cancellation.check()


def test_it_ends_what_another_thread_waits_for() -> None:
    cancellation, inside, event = Cancellation(), threading.Event(), threading.Event()

    def work() -> None:
        with cancellation.ends_by(event.set):
            inside.set()
            event.wait()

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait()
    cancellation.end()
    thread.join()
