"""From the actions of a target back to what was changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lamina.build.history import causes, details
from lamina.build.history.details import Execution, Table


def run(build: int, owner: str, inputs: dict[str, str], **more: str) -> Execution:
    return Execution(
        build, "ran", owner, "Test", "", ("out",), inputs=inputs,
        origins={path: f"{maker}\0Test {maker}" for path, maker in more.items()},
    )  # fmt: skip


def write(folder: Path, build: int, *runs: Execution) -> None:
    table = Table()
    for each in runs:
        table.add_execution(each)
    details.write(folder, build, table)


def test_changes_are_followed_to_what_no_action_made(tmp_path: Path) -> None:
    for build in (1, 2):
        write(
            tmp_path, build,
            run(build, "//:lib", {"lib.c": f"{build}"}),
            run(build, "//:mid", {"lib": f"{build}"}, lib="//:lib"),
            run(build, "//:app", {"mid": f"{build}", "app.c": "same"}, mid="//:mid"),
        )  # fmt: skip

    found = causes.find(tmp_path, "//:app")

    assert found is not None
    assert (found.build, [reason.verdict for reason in found.reasons]) == (2, ["changed"])
    assert [change.name for change in found.reasons[0].changes] == ["mid"]
    assert [(change.name, change.before, change.after) for change in found.roots] == [
        ("lib.c", "1", "2")
    ]


def test_runs_of_the_same_action_are_found_across_builds_without_it(tmp_path: Path) -> None:
    write(tmp_path, 1, run(1, "//:a", {"a": "1"}))
    for build in range(2, 100):
        write(tmp_path, build, run(build, "//:b", {"b": f"{build}"}))
    write(tmp_path, 100, run(100, "//:a", {"a": "2"}))

    found = causes.find(tmp_path, "//:a")

    assert found is not None
    assert found.reasons[0].before is not None
    assert (found.build, found.reasons[0].before.build) == (100, 1)


def test_only_what_ran_in_the_last_of_its_builds_is_told(tmp_path: Path) -> None:
    one, two = run(1, "//:a", {}), replace(run(1, "//:a", {}), subject="two")
    write(tmp_path, 1, one, two)
    write(tmp_path, 2, replace(two, build=2))

    found = causes.find(tmp_path, "//:a")

    assert found is not None
    assert [reason.execution.subject for reason in found.reasons] == ["two"]


def test_a_target_that_never_ran_has_no_causes(tmp_path: Path) -> None:
    write(tmp_path, 1, run(1, "//:a", {}), replace(run(1, "//:b", {}), state="known"))

    assert causes.find(tmp_path, "//:b") is None
    assert causes.find(tmp_path / "absent", "//:a") is None
