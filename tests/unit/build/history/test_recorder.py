"""Taking down what a build does."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from lamina.build.events import Outcome
from lamina.build.history import details, index
from lamina.build.history.details import Execution
from lamina.build.history.index import Entry
from lamina.build.history.recorder import Recorder, critical_path, expected
from lamina.core.action import Action, Artifact, Source
from lamina.core.digest import Digest
from lamina.core.errors import ActionError
from lamina.core.tree import File, Folder, Node, Symlink

ENTRY = Entry(begun=0.0, seconds=1.0, words=("build",), result="succeeded")


def action(name: str, inputs: Mapping[str, Artifact] | None = None, *, depfile: str = "") -> Action:
    return Action(
        "Test", f"//:{name}", ("run", name), tuple((inputs or {}).items()), ("out",),
        environment=(("A", "1"),), toolchain="tool 1", subject=name, depfile=depfile,
        network=True, mounts=("/opt",), timeout=60.0,
    )  # fmt: skip


def outcome(
    what: Action, *, inputs: Mapping[str, Node] | None = None, cached: bool = False,
    times: tuple[float, float] = (1.0, 2.0),
) -> Outcome:  # fmt: skip
    return Outcome(what, Digest.of(b""), inputs or {}, {}, cached, *times)


def recorded(recorder: Recorder, folder: Path) -> list[Execution]:
    found = details.read(folder, recorder.write(folder, ENTRY))
    return list(found.executions()) if found else []


def test_all_that_decided_on_a_result_is_kept(tmp_path: Path) -> None:
    made = action("lib")
    inputs: dict[str, Artifact] = {
        "a.h": Source("src/a.h"),
        "b.c": Source("b.c"),
        "lib": made.output("out"),
    }
    recorder = Recorder(0.0)
    digest = Digest.of(b"x")
    nodes: dict[str, Node] = {
        "a.h": File(digest), "b.c": File(digest, True), "l": Symlink("b.c"), "d": Folder(),
    }  # fmt: skip
    recorder.finished(outcome(action("a", inputs), inputs=nodes))

    [run] = recorded(recorder, tmp_path)

    short = digest.hash[:16]
    assert (run.build, run.state, str(run), run.seconds) == (1, "ran", "Test a", 1.0)
    assert run.inputs == {
        "a.h": short, "b.c": f"{short} executable", "l": "-> b.c", "d": "folder",
    }  # fmt: skip
    assert run.origins == {"a.h": "src/a.h", "lib": "//:lib\0Test lib"}
    assert (run.arguments, run.environment, run.toolchain) == (("run", "a"), ("A=1",), "tool 1")
    assert run.settings == ("mount=/opt", "timeout=60", "network")
    assert run.names == ()


def test_of_an_action_that_tells_what_it_read_all_names_are_kept(tmp_path: Path) -> None:
    recorder = Recorder(0.0)
    inputs = {"a.c": Source("a.c"), "b.h": Source("b.h")}
    recorder.finished(outcome(action("a", inputs, depfile="d"), inputs={"a.c": Folder()}))

    [run] = recorded(recorder, tmp_path)

    assert (run.names, run.inputs) == (("a.c", "b.h"), {"a.c": "folder"})


def test_what_was_known_is_counted_and_only_kept_if_that_took_long(tmp_path: Path) -> None:
    recorder = Recorder(0.0)
    recorder.finished(outcome(action("quick"), cached=True, times=(1.0, 1.001)))
    recorder.finished(outcome(action("slow"), cached=True, times=(1.0, 1.1)))

    assert [(run.subject, run.state) for run in recorded(recorder, tmp_path)] == [("slow", "known")]
    assert [(entry.ran, entry.cached) for entry in index.read(tmp_path)] == [(0, 2)]


def test_failures_and_what_was_stopped_are_kept(tmp_path: Path) -> None:
    recorder = Recorder(time.monotonic())
    recorder.started(failing := action("bad"))
    recorder.started(action("slow"))
    recorder.failed(failing, ActionError("it failed\nbadly"))

    runs = recorded(recorder, tmp_path)

    assert [(run.subject, run.state, run.inputs) for run in runs] == [
        ("bad", "failed", None), ("slow", "stopped", None),
    ]  # fmt: skip
    found = details.read(tmp_path, 1)
    assert found is not None
    assert [failure.message for failure in found.failures] == ["it failed\nbadly"]


def test_a_build_that_did_nothing_has_no_file(tmp_path: Path) -> None:
    Recorder(0.0).write(tmp_path, ENTRY)

    assert {path.name for path in tmp_path.iterdir()} == {"builds", "lock"}


def test_the_critical_path_is_the_chain_that_took_longest() -> None:
    first, short = action("first"), action("short")
    slow = action("slow", {"x": first.output("out")})
    last = action("last", {"x": slow.output("out"), "y": short.output("out")})
    times = {first: (0.0, 1.0), short: (0.0, 1.5), slow: (1.0, 4.0), last: (4.0, 5.0)}

    assert [step.action for step in critical_path(times)] == [
        "Test first",
        "Test slow",
        "Test last",
    ]


def test_without_actions_there_is_no_critical_path() -> None:
    assert critical_path({}) == []


def test_what_is_expected_is_what_is_recorded(tmp_path: Path) -> None:
    recorder = Recorder(0.0)
    what = action("a", {"a.c": Source("a.c"), "b.h": Source("b.h")}, depfile="d")
    file = File(Digest.of(b"x"))
    recorder.finished(outcome(what, inputs={"a.c": file}))
    [before] = recorded(recorder, tmp_path)

    now = expected(what, {"a.c": file, "b.h": file}, before)

    assert now.key == before.key
    assert (now.inputs, now.names, now.settings) == (before.inputs, before.names, before.settings)


def test_where_an_action_ran_is_kept(tmp_path: Path) -> None:
    recorder = Recorder(0.0)
    for name, farm, raced in (("a", 0, 0), ("b", 1, 0), ("c", 0, 1), ("d", 1, 1)):
        made = outcome(action(name))
        recorder.finished(replace(made, farm=bool(farm), raced=bool(raced)))

    places = [each.place for each in recorded(recorder, tmp_path)]

    assert places == ["here", "farm", "here first", "farm first"]
