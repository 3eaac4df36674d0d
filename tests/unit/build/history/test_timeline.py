"""A build in time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from lamina.build.history import details, timeline
from lamina.build.history.details import Execution, Table
from lamina.build.history.index import Entry

RUN = Execution(1, "ran", "//:a", "Test", "a")


def at(begun: float, ended: float) -> Execution:
    return replace(RUN, subject=f"{begun}", begun=begun, ended=ended)


def test_a_lane_that_is_free_again_is_used_again() -> None:
    runs = [at(0, 4), at(1, 2), at(2, 3), at(2.5, 5), at(4, 5)]

    assert [lane for lane, _ in timeline.lanes(runs)] == [0, 1, 1, 2, 0]


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)).map(sorted), max_size=20))
def test_no_two_actions_are_in_one_lane_at_once(times: list[list[int]]) -> None:
    placed = timeline.lanes([at(begun, ended) for begun, ended in times])

    for index, (lane, one) in enumerate(placed):
        for other, two in placed[:index]:
            assert lane != other or two.ended <= one.begun


def test_a_trace_has_phases_workers_and_how_many_run(tmp_path: Path) -> None:
    table = Table()
    for run in (at(1, 3), at(2, 4)):
        table.add_execution(run)
    details.write(tmp_path, 1, table)
    entry = Entry(0.0, 5.0, ("build",), "succeeded", phases=(("loading", 0.0, 1.0),))

    events = timeline.trace(entry, details.read(tmp_path, 1))["traceEvents"]

    bars = [(e["tid"], e["name"], e["ts"], e["dur"]) for e in events if e["ph"] == "X"]
    assert bars == [
        (0, "loading", 0, 1_000_000),
        (1, "Test 1", 1_000_000, 2_000_000),
        (2, "Test 2", 2_000_000, 2_000_000),
    ]
    assert [e["args"]["n"] for e in events if e["ph"] == "C"] == [1, 2, 1, 0]


def test_a_trace_tells_where_an_action_ran(tmp_path: Path) -> None:
    table = Table()
    table.add_execution(replace(at(1, 3), place="farm first"))
    details.write(tmp_path, 1, table)
    entry = Entry(0.0, 5.0, ("build",), "succeeded")

    events = timeline.trace(entry, details.read(tmp_path, 1))["traceEvents"]

    assert [e["args"]["place"] for e in events if e["ph"] == "X"] == ["farm first"]
