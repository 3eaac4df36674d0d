"""What the rules of tests say of them, and which attributes they take."""

from __future__ import annotations

from typing import Any, Protocol

import pytest

from lamina.build.providers import Analysed


class Project(Protocol):
    def write(self, files: dict[str, str]) -> None: ...
    def error(self, label: str) -> str: ...
    def analyse(self, label: str) -> tuple[Any, dict[Any, Analysed]]: ...
    def run(self, label: str, *arguments: str) -> str: ...


def info(project: Project, attributes: str) -> Any:
    project.write({"BUILD": f"sh_test(name = 'x', srcs = ['x.sh'], {attributes})", "x.sh": ""})
    label, analysed = project.analyse("//:x")
    return analysed[label].test


@pytest.mark.parametrize(
    ("attributes", "size", "timeout"),
    [
        ("", "medium", 300),
        ("size = 'small'", "small", 60),
        ("size = 'enormous', timeout = 'short'", "enormous", 60),
        ("timeout = 'eternal'", "medium", 3600),
        ("timeout = 'long', test_rule_timeout_ms = 1001", "medium", 2),
    ],
)
def test_size_and_timeout_give_the_time(
    project: Project, attributes: str, size: str, timeout: int
) -> None:
    found = info(project, attributes)

    assert (found.size, found.timeout) == (size, timeout)


@pytest.mark.parametrize(
    ("attributes", "exclusive", "network", "remembered"),
    [
        ("", False, False, True),
        ("tags = ['exclusive']", True, False, True),
        ("labels = ['requires-network']", False, True, True),
        ("local = True", False, True, True),
        ("tags = ['external']", False, False, False),
        ("tags = ['no-cache', 'no-sandbox']", False, True, False),
    ],
)
def test_tags_mean_what_they_mean_in_bazel(
    project: Project, attributes: str, exclusive: bool, network: bool, remembered: bool
) -> None:
    found = info(project, attributes)

    assert (found.exclusive, found.network, found.remembered) == (exclusive, network, remembered)


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ("size = 'tiny'", 'no test has `size = "tiny"`'),
        ("timeout = 'soon'", 'no test has `timeout = "soon"`'),
        ("shard_count = 99", "cannot be split over 99 shards"),
    ],
)
def test_what_no_test_has_is_told(project: Project, attributes: str, words: str) -> None:
    project.write({"BUILD": f"sh_test(name = 'x', srcs = ['x.sh'], {attributes})", "x.sh": ""})

    assert words in project.error("//:x")


def test_a_native_test_is_a_program_with_its_arguments(project: Project) -> None:
    project.write(
        {
            "BUILD": "cc_test(name = 'x_test', srcs = ['x.c'], args = ['one', '$(location d.txt)'],"
            " data = ['d.txt'])",
            "d.txt": "",
            "x.c": "#include <stdio.h>\n"
            'int main(int n, char **v) { printf("%d %s %s\\n", n, v[1], v[3]); }\n',
        }
    )

    assert project.run("//:x_test", "more") == "4 one more\n"


def test_a_build_test_waits_for_what_its_targets_are_made_of(project: Project) -> None:
    project.write(
        {
            "BUILD": "build_test(name = 'x_test', targets = [':m', ':g'])\n"
            "py_binary(name = 'm', srcs = ['m.py'], deps = [':l'])\n"
            "py_library(name = 'l', srcs = ['l.py'])\n"
            "genrule(name = 'g', outs = ['g.txt'], cmd = 'echo > $@')\n",
            "m.py": "",
            "l.py": "",
        }
    )

    label, analysed = project.analyse("//:x_test")

    test = analysed[label].test
    assert test is not None
    made = {getattr(item, "path", "") for item in test.built}
    assert {"g.txt", "m.py", "l.py"} <= made
    assert any(path.startswith("__pycache__/l.") for path in made)
