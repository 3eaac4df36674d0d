"""The files that hold what actions were made of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.build.history import details
from lamina.build.history.details import Execution, Failure, Step, Table

RUN = Execution(
    build=1, state="ran", owner="//a:b", mnemonic="Compile", subject="a.c", outputs=("a.o",),
    inputs={"a.c": "12"},
)  # fmt: skip

texts = st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=4)
lists = st.lists(texts, max_size=3).map(tuple)
executions = st.builds(
    Execution,
    build=st.integers(1, 2**32 - 1),
    state=st.sampled_from(["ran", "failed", "stopped"]),
    owner=texts,
    mnemonic=texts,
    subject=texts,
    outputs=lists,
    arguments=lists,
    environment=lists,
    toolchain=texts,
    settings=lists,
    digest=texts,
    inputs=st.none() | st.dictionaries(texts, texts, max_size=3),
    names=lists,
    origins=st.dictionaries(texts, texts, max_size=2),
    begun=st.floats(0, 10),
    ended=st.floats(0, 10),
)


def table(*runs: Execution) -> Table:
    found = Table()
    for run in runs:
        found.add_execution(run)
    return found


@given(st.lists(executions, max_size=4))
def test_executions_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, runs: list[Execution]
) -> None:
    folder = tmp_path_factory.mktemp("history")
    details.write(folder, 7, table(*runs))

    found = details.read(folder, 7)

    assert found is not None
    assert list(found.executions()) == runs


def test_the_rest_is_read_as_it_was_written(tmp_path: Path) -> None:
    steps, failures = [Step("Compile a", "//:a", 0.0, 1.5)], [Failure("//:b", "Link b", "no b")]
    details.write(tmp_path, 7, table(), steps, failures)

    found = details.read(tmp_path, 7)

    assert found is not None
    assert (list(found.critical), list(found.failures)) == (steps, failures)


def test_the_executions_of_one_target_are_found(tmp_path: Path) -> None:
    details.write(tmp_path, 1, table(RUN, replace(RUN, owner="//c:d", arguments=("//a:b",))))

    [found] = details.read_all(tmp_path)

    assert [run.owner for run in found.executions("//a:b")] == ["//a:b"]
    assert list(found.executions("//absent:x")) == []


@pytest.mark.parametrize("data", [b"", b"no zlib", b"x\x9c\x03\x00\x00\x00\x00\x01"])
def test_a_damaged_file_is_as_none(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "00000001.build").write_bytes(data)

    assert details.read(tmp_path, 1) is None
    assert list(details.read_all(tmp_path)) == []


def histories(folder: Path) -> list[tuple[str, int]]:
    """Which target ran in which builds, the newest first."""
    return [
        (run.owner, run.build)
        for each in details.read_all(folder)
        for run in reversed(list(each.executions()))
    ]


def test_files_of_old_builds_are_folded_and_each_action_keeps_its_last_two_runs(
    tmp_path: Path,
) -> None:
    once = replace(RUN, owner="//:once")
    for number in range(1, 201):
        runs = [replace(RUN, build=number)] + ([once] if number == 1 else [])
        details.write(tmp_path, number, table(*runs))

    found = histories(tmp_path)

    assert len(list(tmp_path.iterdir())) <= details.KEPT + 21
    assert found[:3] == [("//a:b", 200), ("//a:b", 199), ("//a:b", 198)]
    assert ("//:once", 1) in found
    assert len(found) <= details.KEPT + 23


def test_a_large_file_is_not_written_again_for_small_ones(tmp_path: Path) -> None:
    many = [replace(RUN, subject=f"{n}.c", inputs={f"{n}.c": f"{n:x}"}) for n in range(3000)]
    details.write(tmp_path, 1, table(*many))
    large = (tmp_path / "00000001.build").stat()

    for number in range(2, 100):
        details.write(tmp_path, number, table(replace(RUN, build=number)))

    assert (tmp_path / "00000001.build").stat() == large
    assert len(list(tmp_path.iterdir())) <= details.KEPT + 21
    assert len({run.key for e in details.read_all(tmp_path) for run in e.executions()}) == 3001
