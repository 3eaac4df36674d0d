"""The rule `job`: what it says of a program becomes a value, and faults are told at the rule."""

from __future__ import annotations

from typing import Protocol

import pytest

from lamina.build.providers import Analysed
from lamina.core.job import Resources, Spec
from lamina.core.label import Label


class Project(Protocol):
    def write(self, files: dict[str, str]) -> None: ...
    def analyse(self, label: str) -> tuple[Label, dict[Label, Analysed]]: ...
    def error(self, label: str) -> str: ...


BINARY = "python_binary(name = 'train', main = 'train.py')\n"


def spec(project: Project, attributes: str) -> Spec:
    rule = f"job(name = 'j', binary = ':train', {attributes})\n"
    project.write({"p/BUILD": BINARY + rule, "p/train.py": ""})
    label, analysed = project.analyse("//p:j")
    found = analysed[label].job
    assert found is not None
    assert found.binary == Label.parse("//p:train")
    return found.spec


def test_a_job_without_wishes_is_one_task(project: Project) -> None:
    assert spec(project, "") == Spec()


def test_every_attribute_is_in_the_value(project: Project) -> None:
    found = spec(
        project,
        "args = ['--a', 'b c'], env = {'Z': '1', 'A': '2'}, nodes = 2, tasks_per_node = 3,"
        " cpus = 4, memory = '1.5G', gpus = 1, time_limit = '1h30m', warning = '60s', retries = 2,"
        " partition = 'gpu', constraint = 'a100', exclusive = True, mounts = ['/data:/data:ro'],"
        " setup = ['ulimit -n 4096'], array = ['0-1', '--x']",
    )

    assert found == Spec(
        arguments=("--a", "b c"),
        environment=(("A", "2"), ("Z", "1")),
        nodes=2,
        tasks_per_node=3,
        resources=Resources(4, 3 << 29, 1),
        time_limit=5400,
        warning=60,
        retries=2,
        partition="gpu",
        constraint="a100",
        exclusive=True,
        mounts=("/data:/data:ro",),
        setup=("ulimit -n 4096",),
        array=("", "", "--x"),
    )


def test_parameters_are_an_array(project: Project) -> None:
    found = spec(project, "parameters = {'lr': ['1', '2'], 'seed': ['3']}")

    assert found.elements == (("--lr=1", "--seed=3"), ("--lr=2", "--seed=3"))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ("nodes = -1", "`nodes` is -1"),
        ("memory = '4 apples'", "`4 apples` is no size"),
        ("time_limit = 'soon'", "`soon` is no time"),
        ("array = ['1-2']", "`1-2` is no array"),
        ("array = ['0-1'], parameters = {'a': ['1']}", "both an `array` and `parameters`"),
        ("nodes = 3, tasks = 2", "3 nodes are too many for 2 tasks"),
        ("mounts = ['data']", "`data` is no mount"),
        ("env = {'A B': '1'}", "`A B` is no name of a variable"),
    ],
)
def test_what_cannot_be_is_told_at_the_rule(
    project: Project, attributes: str, message: str
) -> None:
    rule = f"job(name = 'j', binary = ':train', {attributes})\n"
    project.write({"p/BUILD": BINARY + rule, "p/train.py": ""})

    told = project.error("//p:j")

    assert message in told
    assert "p/BUILD:2" in told


def test_the_binary_is_a_program(project: Project) -> None:
    project.write({"p/BUILD": "filegroup(name = 'f')\njob(name = 'j', binary = ':f')\n"})

    assert "`//p:f` is not a program" in project.error("//p:j")
