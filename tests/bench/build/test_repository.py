"""Generated repositories: what is in them, what edits change, and that they can be built."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.build.repository import Repository, program_above
from bench.build.shape import Rule, Target, shape
from bench.build.texts import Dialect

ROOT = Path(__file__).parents[3]
# Has a program of each language above few targets, a genrule and the hub among them.
SMALL = shape(80, mixed=True, seed=265)
PROGRAMS = (SMALL.targets[78], SMALL.targets[76])


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "repository", SMALL)
    made.write()
    return made


def contents(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): path.read_text()
        for path in root.rglob("*")
        if path.is_file() and "lamina-out" not in path.parts
    }


def changed(repository: Repository, edit: Callable[[Target], None], target: Target) -> list[str]:
    before = contents(repository.root)
    edit(target)
    after = contents(repository.root)
    assert before.keys() == after.keys()
    return [path for path in before if before[path] != after[path]]


def lamina(repository: Repository, *args: str) -> str:
    # Both dialects make the same actions, so with one store the second one compiles nothing.
    store = repository.root.parents[1] / "store"
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "LAMINA_STORE": str(store)}
    done = subprocess.run(
        [sys.executable, "-m", "lamina.cli", *args],
        cwd=repository.root, env=env, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_dialects_differ_in_their_build_files_alone(tmp_path: Path) -> None:
    for dialect in Dialect:
        Repository(tmp_path / dialect.value, SMALL, dialect).write()

    bazel, buck = contents(tmp_path / "bazel"), contents(tmp_path / "buck")

    assert {path for path in bazel if path not in buck} == {
        "WORKSPACE",
        *(f"{package}/BUILD" for package in SMALL.packages),
    }
    assert all(bazel[path] == buck[path] for path in bazel if path in buck)


@pytest.mark.parametrize("cxx", [True, False])
def test_an_edit_of_a_source_writes_one_file_and_another_value(
    repository: Repository, cxx: bool
) -> None:
    leaf = SMALL.leaf(cxx=cxx)
    program = program_above(leaf, SMALL)
    before = repository.value(program)

    paths = changed(repository, repository.edit_source, leaf)

    assert paths == [f"{leaf.package}/{leaf.name}.{'cc' if cxx else 'py'}"]
    assert repository.value(program) == before + 1


def test_an_edit_of_a_header_writes_it_alone(repository: Repository) -> None:
    hub = SMALL.hub(cxx=True)

    assert changed(repository, repository.edit_header, hub) == [f"{hub.package}/{hub.name}.h"]


@pytest.mark.parametrize("edit", [Repository.edit_comment, Repository.add_dep])
def test_an_edit_of_a_build_file_is_another_each_time(
    repository: Repository, edit: Callable[[Repository, Target], None]
) -> None:
    leaf = SMALL.leaf(cxx=True)

    for _ in range(3):
        paths = changed(repository, lambda target: edit(repository, target), leaf)
        assert paths == [f"{leaf.package}/BUILD"]


def test_an_added_dependency_counts_among_the_dependents(repository: Repository) -> None:
    leaf = SMALL.leaf(cxx=True)
    program = program_above(leaf, SMALL)
    below = {each for each in SMALL.targets if leaf in repository.above(each)}

    repository.add_dep(leaf)

    new = {each for each in SMALL.targets if leaf in repository.above(each)} - below
    assert new
    assert all({leaf, program} <= repository.above(each) for each in new)


@pytest.mark.parametrize("mixed", [True, False])
@pytest.mark.parametrize("dialect", Dialect)
def test_lamina_loads_what_was_generated(tmp_path: Path, dialect: Dialect, mixed: bool) -> None:
    of = shape(300, mixed=mixed)
    made = Repository(tmp_path / "repository", of, dialect)
    made.write()

    listed = lamina(made, "targets", "//...")

    assert set(listed.split()) == {target.label for target in of.targets}


@pytest.mark.parametrize("dialect", Dialect)
def test_programs_print_their_value_before_and_after_edits(
    tmp_path: Path, dialect: Dialect
) -> None:
    made = Repository(tmp_path / "repository", SMALL, dialect)
    made.write()
    assert [each.rule for each in PROGRAMS] == [Rule.CXX_BINARY, Rule.PYTHON_BINARY]
    assert [printed(made, each) for each in PROGRAMS] == [made.value(each) for each in PROGRAMS]

    for edit, cxx in (
        (made.edit_header, True),
        (made.edit_source, True),
        (made.edit_source, False),
    ):
        edit(SMALL.hub(cxx=cxx))
    assert [printed(made, each) for each in PROGRAMS] == [made.value(each) for each in PROGRAMS]


def printed(repository: Repository, program: Target) -> int:
    lamina(repository, "build", program.label)
    made = repository.root / "lamina-out" / program.package
    (path,) = (
        path for path in (made / f"{program.name}.root" / program.name, made / program.name)
        if path.is_file()
    )  # fmt: skip
    done = subprocess.run([path], capture_output=True, text=True, check=True)
    return int(done.stdout)
