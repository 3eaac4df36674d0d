"""The actions that try a test: runfiles, environment, shards, repetitions."""

from __future__ import annotations

import pytest

from lamina.build.cellmap import Cells
from lamina.build.providers import Analysed, Runnable, TestInfo
from lamina.build.testing.trials import Settings, Trial, trials
from lamina.core.action import Artifact, Literal, Source, Stored
from lamina.core.errors import UserError
from lamina.core.label import Label
from lamina.core.tree import Symlink

X = Label("", "a", "x")
TOOL = Label("other", "t", "tool")
CELLS = Cells({"other": "third_party/other"}, {}, {"ws": "", "alias": "other", "far": "unused"})
LAUNCHER = Literal(b"x")


def plan(
    settings: Settings = Settings(),  # noqa: B008 - frozen
    info: TestInfo = TestInfo(),  # noqa: B008
    own: dict[str, Artifact] | None = None,
    outer: dict[str, str] | None = None,
) -> list[Trial]:
    test = Analysed(
        X,
        own={"x": LAUNCHER, **(own or {})},
        runtime=(TOOL,),
        runnable=Runnable("x"),
        test=info,
    )
    tool = Analysed(TOOL, own={"tool": LAUNCHER, "lib/f": Source("f")}, runnable=Runnable("tool"))
    return trials(X, {X: test, TOOL: tool}, CELLS, settings, outer or {})


def inputs(trial: Trial) -> dict[str, Artifact]:
    return dict(trial.action.inputs)


def test_the_package_root_is_the_workspaces_folder_among_the_runfiles() -> None:
    found = inputs(plan()[0])

    assert found["runfiles/_main/x"] == LAUNCHER
    assert found["runfiles/_main/lib/f"] == Source("f")


def test_programs_are_found_by_their_label_and_cells_by_their_names() -> None:
    found = inputs(plan()[0])

    links = {path: item.node for path, item in found.items() if isinstance(item, Stored)}
    assert links == {
        "runfiles/_main/a/x": Symlink("../x"),
        "runfiles/_main/third_party/other/t/tool": Symlink("../../../tool"),
        "runfiles/other": Symlink("_main/third_party/other"),
        "runfiles/alias": Symlink("_main/third_party/other"),
        "runfiles/ws": Symlink("_main"),
    }


@pytest.mark.parametrize("path", ["a/x", "a", "a/x/y"])
def test_a_file_at_the_place_of_a_program_stays(path: str) -> None:
    found = inputs(plan(own={path: Source("s")})[0])

    assert found[f"runfiles/_main/{path}"] == Source("s")
    assert not isinstance(found.get("runfiles/_main/a/x"), Stored)


def test_two_different_files_at_one_path_are_an_error() -> None:
    with pytest.raises(UserError, match="`lib/f` comes from both `@other//t:tool` and `//a:x`"):
        plan(own={"lib/f": Source("g")})


def test_shards_and_runs_are_actions_of_their_own() -> None:
    found = plan(Settings(runs=2), TestInfo(shards=2))

    assert [trial.folder for trial in found] == [
        "shard_1_of_2/run_1_of_2",
        "shard_2_of_2/run_1_of_2",
        "shard_1_of_2/run_2_of_2",
        "shard_2_of_2/run_2_of_2",
    ]
    environment = dict(found[1].action.environment)
    assert (environment["TEST_SHARD_INDEX"], environment["GTEST_TOTAL_SHARDS"]) == ("1", "2")
    assert environment["TEST_RUN_NUMBER"] == "1"


@pytest.mark.parametrize(
    ("timeouts", "limit"), [((), 300), ((7,), 7), ((1, 2, 3, 4), 2), ((-1,), 300)]
)
def test_the_command_line_may_give_another_time(timeouts: tuple[int, ...], limit: int) -> None:
    action = plan(Settings(timeouts=timeouts))[0].action

    assert action.arguments[2] == dict(action.environment)["TEST_TIMEOUT"] == str(limit)
    assert action.timeout > limit


def test_only_what_is_asked_for_is_inherited() -> None:
    outer = {"GOOD": "1", "BAD": "2"}

    action = plan(info=TestInfo(inherited=("GOOD", "ABSENT")), outer=outer)[0].action

    assert {"GOOD", "BAD", "ABSENT"} & dict(action.environment).keys() == {"GOOD"}


def test_a_test_that_is_not_remembered_always_runs() -> None:
    assert not plan()[0].action.again
    assert plan(Settings(remembered=False))[0].action.again
    assert plan(info=TestInfo(tags=("external",)))[0].action.again


def test_an_attempt_is_another_action_with_the_same_digest() -> None:
    first = plan()[0]

    second = first.again()

    assert (second.attempt, second.action is first.action) == (2, False)
    assert second.action.arguments == first.action.arguments
