"""Snapshots: what a changed file concerns, and that going on gives what a whole build gives."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.build import snapshot
from lamina.build.engine import Engine
from lamina.build.events import Outcome
from lamina.build.memo import Memo
from lamina.build.snapshot import Part, Snapshot
from lamina.build.sources import Sources
from lamina.core.action import Action, Artifact, Literal, Output, Source, Stored
from lamina.core.errors import LaminaError
from lamina.core.tree import File, Folder, Node, Symlink
from lamina.store.local import LocalStore

T = TypeVar("T")


class Silent:
    """A listener that tells nobody."""

    def planned(self, actions: int) -> None: ...
    def started(self, action: Action) -> None: ...
    def finished(self, outcome: Outcome) -> None: ...
    def failed(self, action: Action, error: LaminaError) -> None: ...


class Bench:
    """A workspace and a store, and an engine made anew for each build."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "workspace"
        self.root.mkdir()
        self.store = LocalStore(folder / "store")

    def write(self, **texts: str) -> None:
        for name, text in texts.items():
            (self.root / name).write_text(text)

    def build(self, *parts: Part) -> Snapshot:
        """A whole build."""
        engine = self.engine()
        engine.build(file for part in parts for _, file in part.files)
        return Snapshot.of(parts, engine.results, engine.used)

    def engine(self) -> Engine:
        sources = Sources(self.root, self.store, self.root / ".sources")
        return Engine(self.root, self.store, sources, Silent(), jobs=2)

    def go_on(self, kept: Snapshot, *sources: str) -> tuple[set[str], list[str]]:
        """Build what a change concerns; the actions that ran, and the parts that are others."""
        engine, made = self.engine(), kept.restore(kept.affected(sources))
        engine.build(a.output(path) for a in made.values() for path in a.outputs)
        changed = kept.update(made, engine.results, engine.used)
        parts = [kept.part(index).name for index in kept.parts_of(sources, changed)]
        return {action.subject for action in engine.executed}, parts


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.store.close()


def action(name: str, command: str, inputs: Mapping[str, Artifact], depfile: str = "") -> Action:
    return Action(
        "Shell", "//:x", ("/bin/sh", "-ec", command), tuple(inputs.items()), (name,),
        subject=name, depfile=depfile,
    )  # fmt: skip


def joining(name: str, *inputs: Artifact) -> Action:
    """Writes down all it is given, with its name before."""
    return action(name, f"printf {name} > out/{name}; cat in* >> out/{name}",
                  {f"in{number}": item for number, item in enumerate(inputs)})  # fmt: skip


def part(name: str, *files: Artifact) -> Part:
    return Part(name, "files", tuple((f"{name}{n}", file) for n, file in enumerate(files)))


def test_an_edit_runs_what_reads_it_and_what_reads_that(bench: Bench) -> None:
    bench.write(x="x", y="y", z="z")
    low = joining("low", Source("x"), Literal(b"l"))
    other = joining("other", Source("y"))
    high = joining("high", low.output("low"), other.output("other"))
    kept = bench.build(
        part("h", high.output("high")), part("o", other.output("other")), part("z", Source("z"))
    )
    bench.write(x="edited")

    assert bench.go_on(kept, "x") == ({"low", "high"}, ["h"])
    assert bench.go_on(kept, "z") == (set(), ["z"])


def test_an_action_that_gives_the_same_stops_the_wave(bench: Bench) -> None:
    bench.write(x="1")
    low = action("low", "wc -c < in > out/low", {"in": Source("x")})
    kept = bench.build(part("h", joining("high", low.output("low")).output("high")))
    bench.write(x="2")

    assert bench.go_on(kept, "x") == ({"low"}, [])


def test_what_was_not_read_concerns_nobody(bench: Bench) -> None:
    bench.write(x="x", y="y")
    command = "cat x > out/a; echo 'a: x' > out/a.d"
    low = action("a", command, {"x": Source("x"), "y": Source("y")}, depfile="a.d")
    kept = bench.build(part("p", low.output("a")))

    assert kept.affected(["y"]) == []
    assert kept.affected(["x"]) == [0]


def test_what_is_read_later_on_concerns_from_then_on(bench: Bench) -> None:
    bench.write(x="x", y="y")
    command = "cat $(cat x) > out/a; echo a: x $(cat x) > out/a.d"
    low = action("a", command, {"x": Source("x"), "y": Source("y")}, depfile="a.d")
    kept = bench.build(part("p", low.output("a")))
    bench.write(x="y")

    assert bench.go_on(kept, "x") == ({"a"}, ["p"])
    bench.write(y="edited")
    assert bench.go_on(kept, "y") == ({"a"}, ["p"])


def test_folders_links_and_nodes_are_inputs_as_before(bench: Bench) -> None:
    bench.write(x="x")
    folder = action(
        "d", "mkdir -p out/d/e; echo f > out/d/f; ln -s f out/d/l", {"s": Literal(b"", True)}
    )
    kept_file = Stored(File(bench.store.write(b"kept"), executable=True))
    inputs: dict[str, Artifact] = {"d": folder.output("d"), "x": Source("x"), "k": kept_file}
    reading = action("r", "(find d; cat x d/l; test -x k; cat k) | sort > out/r", inputs)
    kept = bench.build(part("p", reading.output("r"), folder.output("d")))
    bench.write(x="edited")

    assert bench.go_on(kept, "x")[0] == {"r"}
    names = [path for path, _ in kept.part(0).files]
    assert names == ["p0", "p1/e", "p1/f", "p1/l"]


def test_it_reads_back_what_it_wrote(bench: Bench, tmp_path: Path) -> None:
    bench.write(x="x")
    low = joining("low", Source("x"), Literal(b"l", executable=True))
    kept = bench.build(part("p", joining("high", low.output("low")).output("high"), Source("x")))
    kept.save(tmp_path / "file", tmp_path)

    found = snapshot.load(tmp_path / "file")

    assert found == kept
    assert found is not None
    assert found.restore([0])[0].inputs == low.inputs


@pytest.mark.parametrize("data", [b"", b"nonsense", b"\xff"])
def test_a_damaged_one_is_as_none(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "file").write_bytes(data)

    assert snapshot.load(tmp_path / "file") is None
    assert snapshot.load_memo(tmp_path / "file") == Memo()


def test_a_memo_reads_back_what_it_wrote(bench: Bench, tmp_path: Path) -> None:
    nodes: tuple[tuple[str, Node], ...] = (
        ("f", File(bench.store.write(b""), True)), ("l", Symlink("f")), ("d", Folder()),
    )  # fmt: skip
    memo = Memo({b"key": nodes}, {b"names": (("a", "b"),)})
    snapshot.save_memo(memo, tmp_path / "memo", tmp_path)

    assert snapshot.load_memo(tmp_path / "memo") == memo


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_going_on_gives_what_a_whole_build_gives(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    chance = random.Random(seed)
    bench = Bench(tmp_path_factory.mktemp("bench"))
    names = [f"s{n}" for n in range(5)]
    bench.write(**dict.fromkeys(names, "first"))
    parts = _random_parts(chance, names)
    kept = bench.build(*parts)
    for _ in range(3):
        edited = chance.sample(names, chance.randint(1, 2))
        bench.write(**{name: chance.choice(["first", "a", "b"]) for name in edited})
        bench.go_on(kept, *edited)

    fresh = bench.build(*parts)

    every = range(len(fresh.results))
    assert [*map(kept.result, every)] == [*map(fresh.result, every)]
    assert kept.used == fresh.used
    assert _sets(kept.readers) == _sets(fresh.readers)
    assert _sets(kept.dependents) == _sets(fresh.dependents)
    bench.store.close()


def _sets(lists: Mapping[T, Sequence[int]]) -> dict[T, set[int]]:
    return {key: set(value) for key, value in lists.items() if value}


def _random_parts(chance: random.Random, sources: list[str]) -> list[Part]:
    """Actions on sources and on one another; some read only a part of what they might."""
    made: list[Output] = []
    for number in range(6):
        choice: list[Artifact] = [*map(Source, sources), *made]
        inputs = chance.sample(choice, min(len(choice), chance.randint(1, 3)))
        name = f"a{number}"
        if chance.random() < 0.5:
            made.append(joining(name, *inputs).output(name))
            continue
        # What the first input holds decides whether the others are read.
        command = (
            f"if grep -q a in0; then r=in*; else r=in0; fi; cat $r > out/{name}; "
            f"echo {name}: $r > out/{name}.d"
        )
        given = {f"in{n}": item for n, item in enumerate(inputs)}
        made.append(action(name, command, given, depfile=f"{name}.d").output(name))
    return [part("p", *made)]
