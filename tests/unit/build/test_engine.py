"""The engine on actions that a test wrote down: order, cache, outputs, failures, cancelling."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lamina.build.engine import Engine
from lamina.build.events import Outcome
from lamina.build.memo import Memo
from lamina.build.sources import Sources
from lamina.core.action import Action, Artifact, Literal, Source, Stored
from lamina.core.errors import ActionError, LaminaError
from lamina.core.tree import File, Folder, Node, Symlink
from lamina.store.local import LocalStore
from tests.unit.build.test_workers import compiling


class Log:
    """A listener that writes down what it is told."""

    def __init__(self) -> None:
        self.total = 0
        self.lines: list[str] = []
        self.failures: list[str] = []
        self.on_start: Callable[[], None] = lambda: None

    def planned(self, actions: int) -> None:
        self.total += actions

    def started(self, action: Action) -> None:
        self.on_start()

    def finished(self, outcome: Outcome) -> None:
        word = "known" if outcome.cached else "ran"
        self.lines.append(f"{word} {outcome.action.subject}{outcome.printed.decode()}")

    def failed(self, action: Action, error: LaminaError) -> None:
        self.failures.append(action.subject)


class Bench:
    """A workspace and a store, and an engine made anew for each build."""

    def __init__(self, root: Path, store: LocalStore) -> None:
        self.root = root
        self.store = store
        self.log = Log()

    def engine(
        self,
        *,
        jobs: int = 2,
        keep_going: bool = False,
        verbose: bool = False,
        known: Memo | None = None,
    ) -> Engine:
        sources = Sources(self.root, self.store, self.root / ".sources.json")
        self.log = Log()
        return Engine(
            self.root, self.store, sources, self.log,
            jobs=jobs, keep_going=keep_going, show_commands=verbose, known=known,
        )  # fmt: skip

    def outputs(self, action: Action) -> dict[str, Node]:
        """Build every output of an action, by path below `out`."""
        made = self.engine().build([action.output(path) for path in action.outputs])
        return {
            f"{path}/{rest}".rstrip("/"): node
            for path in action.outputs
            for rest, node in made[action.output(path)].items()
        }

    def text(self, action: Action) -> str:
        node = self.outputs(action)[action.outputs[0]]
        assert isinstance(node, File)
        return self.store.read(node.digest).decode()

    def ran(self, action: Action) -> bool:
        engine = self.engine()
        engine.build([action.output(action.outputs[0])])
        return action in engine.executed

    def error(
        self, *actions: Action, keep_going: bool = False, verbose: bool = False
    ) -> LaminaError:
        engine = self.engine(keep_going=keep_going, verbose=verbose)
        with pytest.raises(LaminaError) as caught:
            engine.build([action.output(action.outputs[0]) for action in actions])
        return caught.value


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    store = LocalStore(tmp_path / "store")
    (tmp_path / "workspace").mkdir()
    yield Bench(tmp_path / "workspace", store)
    store.close()


def shell(
    name: str,
    command: str,
    inputs: dict[str, Artifact] | None = None,
    outputs: tuple[str, ...] = (),
    toolchain: str = "",
    environment: tuple[tuple[str, str], ...] = (),
) -> Action:
    return Action(
        "Shell", f"//p:{name}", ("/bin/sh", "-ec", command), tuple((inputs or {}).items()),
        outputs or (name,), environment, toolchain, name,
    )  # fmt: skip


def test_an_output_of_one_action_is_the_input_of_another(bench: Bench) -> None:
    first = shell("a", "printf one > out/a")
    second = shell("b", "cat in/a > out/b; printf ' two' >> out/b", {"in/a": first.output("a")})

    assert bench.text(second) == "one two"
    assert bench.log.lines == ["ran a", "ran b"]


def test_a_folder_made_by_one_action_is_the_input_of_another(bench: Bench) -> None:
    first = shell("d", "mkdir -p out/d/e; echo 1 > out/d/e/x; echo 2 > out/d/y")
    second = shell("b", "find in -type f | sort > out/b", {"in": first.output("d")})

    assert bench.text(second).split() == ["in/e/x", "in/y"]


def test_sources_and_literals_are_inputs(bench: Bench) -> None:
    (bench.root / "s.txt").write_text("source ")
    inputs: dict[str, Artifact] = {"x/s": Source("s.txt"), "l": Literal(b"echo literal", True)}

    assert bench.text(shell("a", "(cat x/s; ./l) > out/a", inputs)) == "source literal\n"


def test_a_stored_node_is_an_input(bench: Bench) -> None:
    kept = Stored(File(bench.store.write(b"kept")))

    assert bench.text(shell("a", "cat k > out/a", {"k": kept})) == "kept"


def test_a_source_folder_is_an_input_with_all_below_it(bench: Bench) -> None:
    (bench.root / "d/e").mkdir(parents=True)
    (bench.root / "d/e/f").write_text("deep")

    assert bench.text(shell("a", "cat x/e/f > out/a", {"x": Source("d")})) == "deep"


def test_what_is_asked_for_beside_actions_is_resolved_too(bench: Bench) -> None:
    (bench.root / "s").write_text("source")

    made = bench.engine().build([Source("s"), Literal(b"x", executable=True)])

    nodes = [tree[""] for tree in made.values()]
    assert [isinstance(node, File) and node.executable for node in nodes] == [False, True]


def test_a_second_build_runs_nothing(bench: Bench) -> None:
    action = shell("a", "echo x > out/a")

    assert bench.ran(action)
    assert not bench.ran(action)
    assert bench.log.lines == ["known a"]


def test_the_workspace_may_lie_anywhere(bench: Bench) -> None:
    (bench.root / "s").write_text("x")
    bench.ran(shell("a", "cat s > out/a", {"s": Source("s")}))
    moved = bench.root.rename(bench.root.parent / "elsewhere")

    assert not Bench(moved, bench.store).ran(shell("a", "cat s > out/a", {"s": Source("s")}))


@pytest.mark.parametrize(
    "changed",
    [
        shell("a", "cat s* > out/a ", {"s": Source("s")}),
        shell("a", "cat s* > out/a", {"s": Source("s")}, environment=(("X", "1"),)),
        shell("a", "cat s* > out/a", {"s": Source("s")}, toolchain="cc 13"),
        shell("a", "cat s* > out/a", {"s2": Source("s")}),
        shell("a", "cat s* > out/a", {"s": Source("s"), "t": Source("s")}),
        shell("a", "cat s* > out/a", {"s": Source("other")}),
        shell("a", "cat s* > out/a", {"s": Source("program")}),
    ],
    ids=["command", "environment", "toolchain", "path", "one more", "content", "executable"],
)
def test_a_change_of_anything_that_counts_runs_it_again(bench: Bench, changed: Action) -> None:
    for name, text in {"s": "x", "other": "y", "program": "x"}.items():
        (bench.root / name).write_text(text)
    (bench.root / "program").chmod(0o755)
    bench.ran(shell("a", "cat s* > out/a", {"s": Source("s")}))

    assert bench.ran(changed)


def test_the_owner_and_the_words_for_people_do_not_count(bench: Bench) -> None:
    bench.ran(shell("a", "echo x > out/a"))

    assert not bench.ran(Action("Other", "//q:b", ("/bin/sh", "-ec", "echo x > out/a"), (), ("a",)))


def test_an_action_whose_input_comes_out_the_same_does_not_run(bench: Bench) -> None:
    (bench.root / "s").write_text("1")
    first = shell("a", "wc -c < s > out/a", {"s": Source("s")})
    second = shell("b", "cat a > out/b", {"a": first.output("a")})
    bench.ran(second)
    (bench.root / "s").write_text("2")

    assert not bench.ran(second)
    assert bench.log.lines == ["ran a", "known b"]


def test_a_result_whose_bytes_are_gone_is_made_again(bench: Bench) -> None:
    action = shell("a", "echo gone > out/a")
    node = bench.outputs(action)["a"]
    assert isinstance(node, File)
    bench.store.path(node.digest).unlink()

    assert bench.text(action) == "gone\n"


def test_a_failed_action_is_not_remembered(bench: Bench) -> None:
    action = shell("a", "exit 1")
    bench.error(action)

    assert bench.error(action).exit_code == 1


def test_outputs_may_be_of_every_kind(bench: Bench) -> None:
    command = """
        mkdir -p out/folder/inner out/empty
        echo x > out/folder/inner/f; ln -s inner/f out/folder/l; ln -s folder out/link
        echo x > out/plain; cp out/plain out/program; chmod 700 out/program
        echo x > out/undeclared
    """
    action = shell("a", command, outputs=("folder", "empty", "link", "plain", "program"))

    made = bench.outputs(action)

    assert made["folder/l"] == Symlink("inner/f")
    assert (made["empty"], made["link"]) == (Folder(), Symlink("folder"))
    plain, program = made["plain"], made["program"]
    assert isinstance(plain, File)
    assert made["folder/inner/f"] == plain
    assert program == File(plain.digest, executable=True)
    assert "undeclared" not in made


def test_an_empty_folder_and_a_link_can_be_inputs(bench: Bench) -> None:
    first = shell("a", "mkdir out/e; ln -s e out/l", outputs=("e", "l"))
    inputs: dict[str, Artifact] = {"e": first.output("e"), "l": first.output("l")}

    assert bench.text(shell("b", "ls -d l/. e > out/b", inputs)).split() == ["e", "l/."]


def test_a_missing_output_is_an_error_that_names_it(bench: Bench) -> None:
    error = bench.error(shell("a", "echo x > out/b", outputs=("a",)))

    assert isinstance(error, ActionError)
    assert error.message == "`//p:a`: Shell a succeeded but did not make `a`"


def test_a_failing_action_shows_its_own_words(bench: Bench) -> None:
    error = bench.error(shell("a", "echo out; echo err >&2; exit 3"))

    assert error.message == "`//p:a`: Shell a failed with exit code 3\nout\nerr"


def test_the_command_is_shown_when_asked_for(bench: Bench) -> None:
    error = bench.error(shell("a", "exit 3"), verbose=True)

    assert "command: /bin/sh -ec 'exit 3'" in error.message


def test_an_undeclared_file_is_named_with_its_target(bench: Bench) -> None:
    (bench.root / "p").mkdir()
    (bench.root / "p/secret").write_text("x")

    error = bench.error(shell("a", "cat p/secret > out/a"))

    assert "it reads `p/secret`, which `//p:a` does not declare" in error.message
    assert error.hint == "declare `p/secret` in `//p:a`, or depend on a target that has it"


def test_a_file_and_a_folder_at_one_path_is_an_error(bench: Bench) -> None:
    error = bench.error(shell("a", "true", {"x": Literal(b""), "x/y": Literal(b"")}))

    assert error.message == "`//p:a`: `x` is both a file and a folder of `x/y`"


def test_warnings_are_handed_on(bench: Bench) -> None:
    bench.ran(shell("a", "echo x > out/a; echo ' careful' >&2"))

    assert bench.log.lines == ["ran a careful\n"]


def test_the_listener_is_told_how_many_actions_there_are(bench: Bench) -> None:
    first = shell("a", "echo x > out/a")

    bench.ran(shell("b", "cat a > out/b", {"a": first.output("a")}))

    assert bench.log.total == 2


def test_what_waits_for_a_resident_program_alone_runs_where_that_is_known(bench: Bench) -> None:
    (bench.root / "m.py").write_text("x = 1\n")
    compiled = compiling("m")
    first = bench.engine()
    first.build([compiled.output("m.pyc")])

    above = shell("above", "cp m.pyc out/above", {"m.pyc": compiled.output("m.pyc")})
    engine = bench.engine(known=first.memo)
    engine.build([above.output("above")])

    assert engine.executed == {above}


def test_one_job_runs_one_action_at_a_time(bench: Bench) -> None:
    actions = [shell(name, f"echo x > out/{name}") for name in ("a", "b", "c")]
    engine = bench.engine(jobs=1)
    started: list[int] = []
    bench.log.on_start = lambda: started.append(len(bench.log.lines))

    engine.build([action.output(action.outputs[0]) for action in actions])

    assert started == [0, 1, 2]
    assert bench.log.lines == ["ran a", "ran b", "ran c"]


def test_several_jobs_run_at_once(bench: Bench) -> None:
    actions = [shell(name, f"echo x > out/{name}") for name in ("a", "b", "c")]
    engine = bench.engine(jobs=2)
    started: list[int] = []
    bench.log.on_start = lambda: started.append(len(bench.log.lines))

    engine.build([action.output(action.outputs[0]) for action in actions])

    assert started[:2] == [0, 0]


def test_a_failure_ends_the_others(bench: Bench) -> None:
    error = bench.error(shell("slow", "sleep 98763"), shell("bad", "exit 1"))

    assert error.message == "`//p:bad`: Shell bad failed with exit code 1"
    assert gone("98763")


def test_an_engine_can_be_used_again_after_a_failure(bench: Bench) -> None:
    engine = bench.engine()
    bad, slow = shell("bad", "exit 1"), shell("slow", "sleep 98762")
    with pytest.raises(ActionError):
        engine.build([slow.output("slow"), bad.output("bad")])
    good = shell("good", "echo x > out/good")

    engine.build([good.output("good")])

    assert good in engine.executed


def test_keep_going_makes_what_can_be_made_and_tells_all_failures(bench: Bench) -> None:
    bad, worse = shell("bad", "exit 1"), shell("worse", "exit 2")
    above = shell("above", "cat bad > out/above", {"bad": bad.output("bad")})
    good = shell("good", "echo x > out/good")

    error = bench.error(above, worse, good, keep_going=True)

    assert error.message.split("\n\n") == [
        "`//p:bad`: Shell bad failed with exit code 1",
        "`//p:worse`: Shell worse failed with exit code 2",
    ]
    assert bench.log.lines == ["ran good"]
    assert isinstance(error, ActionError)


def test_a_failure_leaves_no_scratch(bench: Bench) -> None:
    bench.error(shell("slow", "sleep 98761"), shell("bad", "exit 1"))

    assert list(bench.store.scratch.iterdir()) == []


@pytest.mark.parametrize("moment", ["started", "finished"])
def test_an_interruption_ends_what_runs(
    bench: Bench, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = bench.engine()

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(bench.log, moment, interrupt)
    slow, quick = shell("slow", "sleep 98760"), shell("quick", "echo x > out/quick")

    with pytest.raises(KeyboardInterrupt):
        engine.build([slow.output("slow"), quick.output("quick")])

    assert gone("98760")
    assert list(bench.store.scratch.iterdir()) == []


def test_a_source_that_cannot_be_read_is_told(bench: Bench) -> None:
    error = bench.error(shell("a", "true", {"s": Source("gone")}))

    assert error.message == "cannot read `gone`: No such file or directory"


def gone(mark: str) -> bool:
    """Whether no process with this in its command line is left, or is about to be."""
    end = time.monotonic() + 30
    while any(mark in command for command in commands()):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)  # a killed process takes a moment to go
    return True


def commands() -> list[str]:
    """The command lines of all processes that can be seen."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_text())
        except OSError:
            continue
    return found


def test_a_command_line_that_is_too_long_is_told(bench: Bench) -> None:
    error = bench.error(shell("a", "true # " + "x" * 200_000))

    assert isinstance(error, ActionError)
    assert error.message == "`//p:a`: Shell a: cannot start: Argument list too long"


def telling(*inputs: str, used: str = "s") -> Action:
    """An action that may read several files and tells which it did."""
    command = f"cat {used} > out/a; echo 'out/a: {used} /usr/include/x.h' > out/a.d"
    return Action(
        "Shell", "//p:a", ("/bin/sh", "-ec", command),
        tuple((path, Source(path)) for path in inputs), ("a",), subject="a", depfile="a.d",
    )  # fmt: skip


def test_an_input_that_was_not_read_does_not_matter(bench: Bench) -> None:
    for name in ("s", "t"):
        (bench.root / name).write_text("1")
    bench.ran(telling("s", "t"))
    (bench.root / "t").write_text("2")

    assert not bench.ran(telling("s", "t"))
    (bench.root / "s").write_text("2")
    assert bench.ran(telling("s", "t"))


def test_an_input_that_comes_or_goes_matters_though_it_is_not_read(bench: Bench) -> None:
    for name in ("s", "t"):
        (bench.root / name).write_text("1")
    bench.ran(telling("s"))

    assert bench.ran(telling("s", "t"))
    assert not bench.ran(telling("s"))


def test_an_old_state_of_what_was_read_is_still_known(bench: Bench) -> None:
    for text in ("1", "2"):
        (bench.root / "s").write_text(text)
        bench.ran(telling("s"))
    (bench.root / "s").write_text("1")

    assert not bench.ran(telling("s"))


def test_what_analysis_wrote_down_matters_though_no_compiler_tells_of_it(bench: Bench) -> None:
    (bench.root / "s").write_text("1")

    def with_arguments(text: bytes) -> Action:
        action = telling("s")
        return replace(action, inputs=(*action.inputs, ("args", Literal(text))))

    bench.ran(with_arguments(b"x"))

    assert not bench.ran(with_arguments(b"x"))
    assert bench.ran(with_arguments(b"y"))


def test_the_list_of_what_was_read_is_no_output(bench: Bench) -> None:
    (bench.root / "s").write_text("1")

    assert list(bench.outputs(telling("s"))) == ["a"]


def test_an_action_that_does_not_tell_what_it_read_is_an_error(bench: Bench) -> None:
    error = bench.error(replace(shell("a", "echo > out/a"), depfile="a.d"))

    assert error.message == ("`//p:a`: Shell a succeeded but did not tell what it read in `a.d`")


def test_what_an_earlier_build_found_out_is_not_looked_up(bench: Bench) -> None:
    (bench.root / "s").write_text("1")
    action = telling("s")
    first = bench.engine()
    first.build([action.output("a")])
    for path in (bench.store.folder / "actions").rglob("*"):
        if path.is_file():
            path.unlink()

    again = bench.engine(known=first.memo)
    again.build([action.output("a")])

    assert again.executed == set()
    assert again.memo == first.memo
    assert again.used == {action: ("s",)}


def test_a_result_that_says_so_is_not_remembered(bench: Bench) -> None:
    failing = replace(shell("x", "echo no > out/x"), fleeting="x")
    passing = replace(shell("y", "touch out/y"), fleeting="y")

    assert [bench.ran(failing), bench.ran(failing)] == [True, True]
    assert [bench.ran(passing), bench.ran(passing)] == [True, False]


def test_an_action_may_run_though_its_result_is_known(bench: Bench) -> None:
    action = shell("x", "touch out/x")

    assert [bench.ran(action), bench.ran(replace(action, again=True))] == [True, True]
    assert not bench.ran(action)
