"""Who does the actions of a build: broken programs are replaced, and nobody is left at work."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lamina.build.crew import Crew
from lamina.build.engine import Engine
from lamina.build.events import Outcome
from lamina.build.memo import Memo
from lamina.build.performer import Performer, Task
from lamina.build.rules import python
from lamina.build.sources import Sources
from lamina.build.workers import Workers
from lamina.core.digest import Digest
from lamina.core.errors import ActionError
from lamina.core.tree import File, Node
from lamina.store.local import LocalStore
from tests.unit.build.test_workers import Silent, compiling


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    store = LocalStore(tmp_path / "store")
    yield store
    store.close()


@pytest.fixture
def engine(tmp_path: Path, store: LocalStore) -> Engine:
    sources = Sources(tmp_path, store, tmp_path / ".sources")
    return Engine(tmp_path, store, sources, Silent(), jobs=2)


@pytest.fixture
def performer(tmp_path: Path, store: LocalStore, engine: Engine) -> Performer:
    return Performer(engine, tmp_path, store, Memo(), show_commands=False)


def task(name: str, text: bytes, performer: Performer, store: LocalStore) -> Task:
    action = compiling(name)
    tree: dict[str, Node] = {f"{name}.py": File(store.write(text))}
    tree[".compile.py"] = File(store.write(python._COMPILE))
    found = performer.look_up(action, tree, 0.0)
    assert isinstance(found, Task)
    return found


def outcomes(crew: Crew) -> list[Outcome]:
    found = []
    while crew.is_busy:
        found += [done.result() for done in crew.wait(1.0)]
    return found


def test_what_a_broken_program_had_to_do_is_done_by_threads(
    performer: Performer, store: LocalStore
) -> None:
    with Crew(performer, 1) as crew:
        for number in range(3):
            each = task(f"m{number}", b"x = 1\n", performer, store)
            crew.hand(each, {f"m{number}.py": b"x = 1\n"})
        (worker,) = crew._workers.at_work
        os.killpg(worker._child.pid, signal.SIGKILL)
        found = outcomes(crew)

    assert {outcome.action.outputs[0] for outcome in found} == {
        "m0.pyc",
        "m1.pyc",
        "m2.pyc",
    }


def test_a_program_that_talks_nonsense_is_replaced(performer: Performer, store: LocalStore) -> None:
    each = task("m", b"x = 1\n", performer, store)
    with Crew(performer, 1) as crew:
        crew._workers = Workers(lambda _command, _mounts: ["/usr/bin/yes"], 1)
        crew.hand(each, {"m.py": b"x = 1\n"})
        (outcome,) = outcomes(crew)

    assert list(outcome.outputs) == ["m.pyc"]


ONE_GOOD_ANSWER = """
import marshal, sys
from time import sleep
good = marshal.dumps((0, {"m0.pyc": b"made"}, b""))
for _ in range(2):
    sys.stdin.buffer.read(1)
sys.stdout.buffer.write(len(good).to_bytes(8, "big") + good + (4).to_bytes(8, "big") + b"????")
sys.stdout.flush()
sleep(300)
"""


def test_what_was_answered_before_nonsense_counts(performer: Performer, store: LocalStore) -> None:
    with Crew(performer, 1) as crew:
        crew._workers = Workers(lambda _command, _mounts: ["python3", "-c", ONE_GOOD_ANSWER], 1)
        for number in range(3):
            each = task(f"m{number}", b"x = 1\n", performer, store)
            crew.hand(each, {f"m{number}.py": b"x = 1\n"})
        found = {name: node for outcome in outcomes(crew) for name, node in outcome.outputs.items()}

    assert sorted(found) == ["m0.pyc", "m1.pyc", "m2.pyc"]
    assert found["m0.pyc"] == File(store.write(b"made"))


def test_a_program_that_is_stuck_is_replaced(
    performer: Performer, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lamina.build.workers._PATIENCE", 0.05)
    each = task("m", b"x = 1\n", performer, store)
    with Crew(performer, 1) as crew:
        crew._workers = Workers(lambda _command, _mounts: ["sleep", "300"], 1)
        crew.hand(each, {"m.py": b"x = 1\n"})
        (program,) = crew._workers.at_work
        (outcome,) = [done.result() for _ in range(100) for done in crew.wait(0.1)]

    assert list(outcome.outputs) == ["m.pyc"]
    assert program._child.poll() is not None


def test_what_goes_wrong_is_raised_by_the_result(performer: Performer, store: LocalStore) -> None:
    with Crew(performer, 1) as crew:
        crew.hand(task("m", b"x = (\n", performer, store), {"m.py": b"x = (\n"})
        (done,) = crew.wait(30.0)

        with pytest.raises(ActionError, match="never closed"):
            done.result()
        assert not crew.is_busy


def test_nobody_is_at_work_after_an_interruption(performer: Performer, store: LocalStore) -> None:
    with pytest.raises(KeyboardInterrupt), Crew(performer, 2) as crew:
        crew.hand(task("m", b"x = 1\n", performer, store), {"m.py": b"x = 1\n"})
        (program,) = crew._workers.at_work
        raise KeyboardInterrupt

    assert program._child.poll() is not None


def test_no_more_are_at_work_than_there_are_jobs(performer: Performer, store: LocalStore) -> None:
    held = threading.Event()
    action = compiling("t")

    def work() -> Outcome:
        held.wait(30)
        return Outcome(action, Digest.of(b""), {}, {}, False, 0, 0)

    with Crew(performer, 2) as crew:
        crew.run(action, work)
        assert crew.free == 1
        crew.hand(task("m", b"x = 1\n", performer, store), {"m.py": b"x = 1\n"})
        assert crew.free == 0
        assert crew.has_room(compiling("n"))  # the program that is at work takes another one
        held.set()
        outcomes(crew)
        assert crew.free == 2
