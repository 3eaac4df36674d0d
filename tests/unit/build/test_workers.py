"""Resident compilers: the same bytes as of a process each, and nothing left when one dies."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lamina.build import workers
from lamina.build.engine import Engine
from lamina.build.events import Outcome
from lamina.build.rules import python
from lamina.build.sandbox import Sandbox
from lamina.build.sources import Sources
from lamina.build.workers import WorkerFailed, Workers
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


def test_a_worker_that_dies_is_no_failure_of_the_action(store: LocalStore) -> None:
    workers = Workers(Sandbox(store).resident)
    action = compiling("a")
    assert workers.run(action, lambda _: b"x = 1\n").exit_code == 0
    (worker,) = workers._workers.values()
    os.killpg(worker._child.pid, signal.SIGKILL)

    with pytest.raises(WorkerFailed):
        workers.run(action, lambda _: b"x = 1\n")
    assert workers.run(action, lambda _: b"x = 1\n").exit_code == 0
    workers.end()


def test_no_worker_starts_after_the_end(store: LocalStore) -> None:
    workers = Workers(Sandbox(store).resident)
    workers.end()

    with pytest.raises(WorkerFailed):
        workers.run(compiling("a"), lambda _: b"")


def test_one_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_PATIENCE", 0.1)
    asked = Workers(lambda _command, _mounts: ["sleep", "300"])

    with pytest.raises(WorkerFailed):
        asked.run(compiling("a"), lambda _path: b"")
