"""Resident compilers: the same bytes as of a process each, and nothing left when one dies."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lamina.build.engine import Engine
from lamina.build.events import Outcome
from lamina.build.rules import python
from lamina.build.sandbox import Sandbox
from lamina.build.sources import Sources
from lamina.build.workers import BROKEN, Answer, Worker, Workers
from lamina.core.action import Action, Literal, Source
from lamina.core.errors import ActionError, LaminaError
from lamina.core.tree import File
from lamina.store.local import LocalStore

Build = Callable[[Action], dict[str, bytes]]


class Silent:
    """A listener that tells nobody."""

    def planned(self, actions: int) -> None: ...
    def started(self, action: Action) -> None: ...
    def finished(self, outcome: Outcome) -> None: ...
    def failed(self, action: Action, error: LaminaError) -> None: ...


def compiling(*names: str, worker: str = "python-compile") -> Action:
    pairs = [word for name in names for word in (f"{name}.py", f"out/{name}.pyc")]
    return Action(
        "PyCompile",
        "//p:a",
        ("python3", "-I", "-S", ".compile.py", *pairs),
        (
            *((f"{n}.py", Source(f"{n}.py")) for n in names),
            (".compile.py", Literal(python._COMPILE)),
        ),
        tuple(f"{name}.pyc" for name in names),
        worker=worker,
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    store = LocalStore(tmp_path / "store")
    yield store
    store.close()


@pytest.fixture
def build(tmp_path: Path, store: LocalStore) -> Build:
    def run(action: Action) -> dict[str, bytes]:
        sources = Sources(tmp_path, store, tmp_path / ".sources")
        engine = Engine(tmp_path, store, sources, Silent(), jobs=1)
        engine.build([action.output(path) for path in action.outputs])
        nodes = engine.results[action]
        return {p: store.read(n.digest) for p, n in nodes.items() if isinstance(n, File)}

    return run


def test_a_worker_gives_the_bytes_that_the_command_gives(tmp_path: Path, build: Build) -> None:
    (tmp_path / "a.py").write_text("def f(x: int = 1) -> str:\n    return f'{x!r}'\n")
    (tmp_path / "b.py").write_text("# coding: latin-1\nX = 1\n")

    assert build(compiling("a", "b")) == build(
        replace(compiling("a", "b", worker=""), toolchain="other")
    )


def test_a_syntax_error_is_told_with_its_place(tmp_path: Path, build: Build) -> None:
    (tmp_path / "a.py").write_text("def f(:\n")

    with pytest.raises(ActionError, match=r'File "a.py", line 1'):
        build(compiling("a"))


def test_one_error_is_told_like_the_other(tmp_path: Path, build: Build) -> None:
    (tmp_path / "a.py").write_text("x = (\n")
    messages = []
    for worker in ("python-compile", ""):
        with pytest.raises(ActionError) as caught:
            build(compiling("a", worker=worker))
        messages.append(caught.value.message)

    assert messages[0] == messages[1]


def answers(worker: Worker) -> list[Answer]:
    found: list[Answer] = []
    end = time.monotonic() + 30
    while worker.actions and time.monotonic() < end:
        if worker.is_sending:
            worker.flush()
        if select.select([worker.stdout], [], [], 0.01)[0]:
            found += [answer for _, answer in worker.answers()]
    return found


@pytest.fixture
def workers(store: LocalStore) -> Iterator[Workers]:
    workers = Workers(Sandbox(store).resident, 2)
    yield workers
    workers.end()


def test_several_actions_are_answered_in_order(workers: Workers) -> None:
    worker = workers.take(compiling("a"), more=True)
    for name in ("a", "b", "c"):
        worker.send(compiling(name), {f"{name}.py": b"x = 1\n"})

    assert [tuple(each.outputs) for each in answers(worker)] == [("a.pyc",), ("b.pyc",), ("c.pyc",)]


def test_more_than_a_pipe_takes_is_handed_over_in_parts(workers: Workers) -> None:
    worker = workers.take(compiling("a"), more=True)
    large = b"x = '" + b"x" * 3_000_000 + b"'\n"
    for _ in range(3):
        worker.send(compiling("a"), {"a.py": large})

    assert worker.is_sending
    assert [len(each.outputs["a.pyc"]) > 3_000_000 for each in answers(worker)] == [True] * 3


def test_what_a_dead_worker_had_to_do_is_told(workers: Workers) -> None:
    worker = workers.take(compiling("a"), more=True)
    os.killpg(worker._child.pid, signal.SIGKILL)
    worker._child.wait()

    action = compiling("a")
    with pytest.raises(BROKEN):
        worker.send(action, {"a.py": b"x = 1\n"})
        worker.answers()
    assert workers.drop(worker) == [action]
    assert workers.take(compiling("a"), more=True) is not worker


def test_a_second_worker_starts_where_the_first_has_enough_to_do(workers: Workers) -> None:
    first = workers.take(compiling("a"), more=True)
    for _ in range(4):
        assert workers.take(compiling("a"), more=True) is first
        first.send(compiling("a"), {"a.py": b"x = 1\n"})

    assert workers.take(compiling("a"), more=False) is first
    assert workers.take(compiling("a"), more=True) is not first


def test_one_for_another_interpreter_makes_room(workers: Workers) -> None:
    other = replace(compiling("a"), mounts=("/usr",))
    first, second = (workers._start(compiling("a")) for _ in range(2))

    third = workers.take(other, more=True)

    assert len(workers._workers) == 2
    assert third not in (first, second)


def test_one_that_does_not_answer_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lamina.build.workers._PATIENCE", 0.05)
    silent = Workers(lambda _command, _mounts: ["sleep", "300"], 1)
    worker = silent.take(compiling("a"), more=True)
    assert not worker.is_stuck
    worker.send(compiling("a"), {"a.py": b""})
    time.sleep(0.1)

    assert worker.is_stuck
    silent.end()
