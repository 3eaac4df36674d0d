"""Blobs that several want at once: one fetches, and the others see how far it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator

import pytest

from lamina.core.digest import Digest
from lamina.store.local import LocalStore
from lamina.store.partial import Partials
from lamina.store.streams import Incoming

DATA = b"0123456789" * 1000
BLOB = Digest.of(DATA)
NAME = "ab" * 32


class Counted:
    """What a waiting one was told."""

    def __init__(self) -> None:
        self.planned: list[Digest] = []
        self.sizes: dict[Digest, int] = {}

    def plan(self, digests: Iterable[Digest]) -> None:
        self.planned += digests

    def move(self, digest: Digest, size: int) -> None:
        self.sizes[digest] = self.sizes.get(digest, 0) + size


@pytest.fixture
def go_on() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_who_waits_for_its_turn_sees_what_comes_meanwhile(
    store: LocalStore, go_on: threading.Event
) -> None:
    counted, ready, partials = Counted(), threading.Event(), Partials(store)

    def half_first(incoming: Incoming) -> None:
        incoming.write(DATA[:4000])
        incoming._file.flush()
        ready.set()
        go_on.wait(30)
        incoming.write(DATA[4000:])

    def first() -> None:
        with partials.turn(NAME) as turn:
            turn.tell([BLOB])
            partials.fetch(BLOB, half_first)

    def second() -> None:
        with partials.turn(NAME, counted.plan, counted.move):
            assert store.has(BLOB)

    one, two = threading.Thread(target=first), threading.Thread(target=second)
    one.start()
    assert ready.wait(30)
    two.start()
    until(lambda: counted.sizes == {BLOB: 4000})
    go_on.set()
    one.join()
    two.join()

    assert counted.planned == [BLOB]
    assert counted.sizes == {BLOB: len(DATA)}


def test_what_the_other_did_not_end_is_taken_back(
    store: LocalStore, go_on: threading.Event
) -> None:
    counted, ready, partials = Counted(), threading.Event(), Partials(store)
    part = store.folder / "partial" / BLOB.hash

    def first() -> None:
        with partials.turn(NAME) as turn:
            part.write_bytes(DATA[:4000])
            turn.tell([BLOB])
            ready.set()
            go_on.wait(30)

    def second() -> None:
        with partials.turn(NAME, counted.plan, counted.move):
            pass

    one, two = threading.Thread(target=first), threading.Thread(target=second)
    one.start()
    assert ready.wait(30)
    two.start()
    until(lambda: counted.sizes == {BLOB: 4000})
    go_on.set()
    one.join()
    two.join()

    assert counted.sizes == {BLOB: 0}


@pytest.mark.parametrize(
    "told", [f"{'ac' * 32}\n{BLOB}\n.\n", f"{NAME}\n{BLOB}\n", f"{NAME}\nx\n.\n", ""]
)
def test_what_is_told_of_other_work_or_in_part_is_passed_over(
    store: LocalStore, go_on: threading.Event, told: str
) -> None:
    counted, ready, partials = Counted(), threading.Event(), Partials(store)

    def first() -> None:
        with partials.turn(NAME):
            (store.folder / "partial" / "ab.lock").write_text(told)
            ready.set()
            go_on.wait(0.5)

    one = threading.Thread(target=first)
    one.start()
    assert ready.wait(30)
    with partials.turn(NAME, counted.plan, counted.move):
        assert counted.planned == []
    one.join()


def test_the_text_of_a_dead_one_goes_with_the_next_turn(store: LocalStore) -> None:
    path = store.folder / "partial" / "ab.lock"
    path.parent.mkdir()
    path.write_text(f"{NAME}\n{BLOB}\n.\n")

    with Partials(store).turn(NAME):
        assert path.read_text() == f"{NAME}\n.\n"
