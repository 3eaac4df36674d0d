"""Resident compilers: the same bytes as of a process each, and nothing left when one dies."""

from __future__ import annotations

import io
import itertools
import os
import random
import select
import signal
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lamina.build import workers
from lamina.build.engine import Engine
from lamina.build.events import Outcome
from lamina.build.rules import python
from lamina.build.sandbox import Sandbox
from lamina.build.sources import Sources
from lamina.build.workers import BROKEN, Answer, Worker, Workers
from lamina.core.action import Action, Literal, Source
from lamina.core.digest import Digest
from lamina.core.errors import ActionError, LaminaError
from lamina.core.tree import File, Symlink, Tree, conflicts
from lamina.packaging import layers
from lamina.packaging.layerforms import LayerForm
from lamina.packaging.layers import OwnFiles
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


FILES: list[dict[str, tuple[bytes, bool]]] = [
    {"a.py": (b"x = 1\n", False)},
    {
        "app/main.py": (b"import app.part\n" * 90, False), "app/part.py": (b"", False),
        "app/__pycache__/main.cpython-311.pyc": (bytes(range(256)) * 9, False),
        "bin/run": (b"#!/bin/sh\n", True), "bin/same": (b"#!/bin/sh\n", False),
        "b\u00e4r/\u4e2d/with space": (b"x" * 200_000, False), "header": (b"none of ours", True),
        "bin.d/run": (b"#!/bin/sh\n", True),
    },
]  # fmt: skip


@pytest.mark.parametrize("files", FILES)
@pytest.mark.parametrize("form", [LayerForm(), LayerForm(compression="gzip", block_size=4096)])
def test_a_layer_is_the_one_that_the_command_makes(
    store: LocalStore, build: Build, files: dict[str, tuple[bytes, bool]], form: LayerForm
) -> None:
    tree: Tree = {path: File(store.write(data), x) for path, (data, x) in files.items()}
    action = layers.action(OwnFiles("//p:a", tree), "t", form.settled())

    assert action.worker
    assert (
        build(replace(action, worker="", toolchain="other"))
        == build(action)
        == build(replace(action, toolchain="third"))
    )


names = st.text(st.sampled_from("aB._-é"), min_size=1, max_size=4).filter(
    lambda name: name not in (".", "..")
)
contents = st.one_of(
    st.binary(max_size=300),
    st.integers(0, 5).flatmap(lambda n: st.sampled_from([b"", b"same", b"x" * 5000, bytes(7 * n)])),
    st.sampled_from([131_071, 131_072, 131_073]).map(lambda n: random.Random(n).randbytes(n)),
)
trees = st.dictionaries(
    st.lists(names, min_size=1, max_size=3).map("/".join),
    st.tuples(contents, st.booleans()),
    min_size=1,
    max_size=12,
).filter(
    lambda files: not conflicts(files) and sum(len(each) for each, _ in files.values()) < 1 << 18
)
tools = map(str, itertools.count())  # each makes it anew


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(trees)
def test_a_layer_that_was_expected_is_the_same(
    store: LocalStore, build: Build, files: dict[str, tuple[bytes, bool]]
) -> None:
    tree: Tree = {path: File(store.write(data), x) for path, (data, x) in sorted(files.items())}
    action = layers.action(OwnFiles("//p:a", tree), next(tools))
    workers.dismiss()
    made = build(action)
    command = workers._waiting[0].command
    workers.dismiss()

    workers.prepare(command, action.arguments[4:])
    (ahead,) = workers._waiting
    assert build(replace(action, toolchain=next(tools))) == made
    assert workers._waiting == [ahead]  # it has not failed
    workers.dismiss()


@pytest.mark.parametrize(
    ("files", "is_taken"),
    [
        ({"root/a": b"", "root/b/c": b"x"}, True),
        ({"root/a": bytes(3)}, False),  # kept as a hole, and otherwise from a folder
        ({"root/a": b"x" * 4097}, False),
        ({f"root/{'a' * 100}": b"x"}, True),
        ({f"root/{'a' * 101}": b"x"}, False),
    ],
)
def test_what_is_expected_is_an_archive_of_some_files(
    files: dict[str, bytes], is_taken: bool
) -> None:
    own: dict[str, Any] = {}
    exec(workers._PROGRAM.replace("\nmain()\n", ""), own)

    data = own["archive"]([(path, data, "b" in path) for path, data in files.items()], 4096)

    assert (data is not None) == is_taken
    if data is not None:
        with tarfile.open(fileobj=io.BytesIO(data)) as opened:
            found = {f"root/{each.name}": each for each in opened if each.isfile()}
            for path, content in files.items():
                file = opened.extractfile(found[path])
                assert file is not None
                assert file.read() == content
                assert found[path].mode == (0o755 if "b" in path else 0o644)
        assert found.keys() == files.keys()


@pytest.mark.parametrize(
    "tree",
    [
        {"a": File(Digest("0" * 64, 1 << 30))},
        {"l": Symlink("a")},
        {f"a{number}": File(Digest("0" * 64, 1)) for number in range(1000)},
    ],
)
def test_a_layer_of_much_or_of_links_is_made_by_the_command(tree: Tree) -> None:
    assert not layers.action(OwnFiles("//p:a", tree), "t").worker


def test_where_the_program_cannot_make_a_layer_the_command_does(
    store: LocalStore, build: Build
) -> None:
    action = layers.action(OwnFiles("//p:a", {"a": File(store.write(b"a"))}), "t")
    wrong = replace(action, arguments=(*action.arguments, "-no-such-option"))

    with pytest.raises(ActionError, match="invalid option"):
        build(wrong)
    assert build(action)


def test_between_builds_they_wait(tmp_path: Path, build: Build) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.py").write_text("x = 1\n")
    workers.dismiss()

    build(compiling("a"))
    (waiting,) = workers._waiting
    build(compiling("b"))
    assert workers._waiting == [waiting]
    workers.dismiss()

    assert not workers._waiting
    assert waiting._child.poll() is not None


def test_one_that_was_started_ahead_is_used(
    tmp_path: Path, store: LocalStore, build: Build
) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    workers.dismiss()
    build(compiling("a"))
    command = workers._waiting[0].command
    workers.dismiss()

    options = layers.action(OwnFiles("//p:a", {"a": File(store.write(b"a"))}), "t").arguments[4:]
    workers.prepare(command, options)
    (ahead,) = workers._waiting
    # Names and words that the program has too, and the modules that it needs for layers.
    words = "os path environ options streams posix_spawnp mksquashfs /dev/null ahead files data"
    names = [word for word in words.split() if word.isidentifier()]
    (tmp_path / "a.py").write_text(f"import {', '.join(names)}\nX = {words.split()}\n")
    made = build(compiling("a"))

    assert made == build(replace(compiling("a"), worker="", toolchain="other"))
    assert workers._waiting == [ahead]
    workers.dismiss()


def test_one_that_died_while_it_waited_is_replaced(tmp_path: Path, build: Build) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.py").write_text("x = 1\n")
    build(compiling("a"))
    for worker in workers._waiting:
        os.killpg(worker._child.pid, signal.SIGKILL)
        worker._child.wait()

    assert list(build(compiling("b"))) == ["b.pyc"]
    workers.dismiss()


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
def crew(store: LocalStore) -> Iterator[Workers]:
    found = Workers(Sandbox(store).resident, 2)
    yield found
    found.end()


def test_several_actions_are_answered_in_order(crew: Workers) -> None:
    worker = crew.take(compiling("a"), more=True)
    for name in ("a", "b", "c"):
        worker.send(compiling(name), {f"{name}.py": b"x = 1\n"})

    assert [tuple(each.outputs) for each in answers(worker)] == [("a.pyc",), ("b.pyc",), ("c.pyc",)]


def test_more_than_a_pipe_takes_is_handed_over_in_parts(crew: Workers) -> None:
    worker = crew.take(compiling("a"), more=True)
    large = b"x = '" + b"x" * 3_000_000 + b"'\n"
    for _ in range(3):
        worker.send(compiling("a"), {"a.py": large})

    assert worker.is_sending
    assert [len(each.outputs["a.pyc"]) > 3_000_000 for each in answers(worker)] == [True] * 3


def test_what_a_dead_worker_had_to_do_is_told(crew: Workers) -> None:
    worker = crew.take(compiling("a"), more=True)
    os.killpg(worker._child.pid, signal.SIGKILL)
    worker._child.wait()

    action = compiling("a")
    with pytest.raises(BROKEN):
        worker.send(action, {"a.py": b"x = 1\n"})
        worker.answers()
    assert crew.drop(worker) == [action]
    assert crew.take(compiling("a"), more=True) is not worker


def test_a_second_worker_starts_where_the_first_has_enough_to_do(crew: Workers) -> None:
    first = crew.take(compiling("a"), more=True)
    for _ in range(4):
        assert crew.take(compiling("a"), more=True) is first
        first.send(compiling("a"), {"a.py": b"x = 1\n"})

    assert crew.take(compiling("a"), more=False) is first
    assert crew.take(compiling("a"), more=True) is not first


def test_one_for_another_interpreter_makes_room(crew: Workers) -> None:
    other = replace(compiling("a"), mounts=("/usr",))
    first, second = (crew._start(compiling("a")) for _ in range(2))

    third = crew.take(other, more=True)

    assert len(crew._workers) == 2
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
