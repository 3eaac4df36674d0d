"""`sh_binary` and `sh_library`, and what programs are started with."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pytest


class Project(Protocol):
    root: Path

    def write(self, files: dict[str, str]) -> None: ...
    def error(self, label: str) -> str: ...
    def run(self, label: str, *arguments: str) -> str: ...
    def package(self, label: str, at: Path | None = None) -> Path: ...


SHOW = '#!/bin/bash\nfor word in "$@"; do echo "<$word>"; done\n'


def test_a_script_finds_its_libraries_and_data(project: Project) -> None:
    build = """
sh_binary(name = "s", srcs = ["s.sh"], deps = [":l"], data = ["//q:d.txt"])
sh_library(name = "l", srcs = ["l.sh"], data = ["e.txt"])
"""
    script = 'cd "$(dirname "$0")/.." && . p/l.sh && cat q/d.txt p/e.txt'
    project.write(
        {
            "p/BUILD": build,
            "p/s.sh": script,
            "p/l.sh": "echo library",
            "p/e.txt": "e",
            "q/BUILD": 'exports_files(["d.txt"])',
            "q/d.txt": "d",
        }
    )

    assert project.run("//p:s") == "library\nde"


@pytest.mark.parametrize("executable", [True, False])
def test_a_script_runs_with_and_without_its_bit(project: Project, executable: bool) -> None:
    project.write({"BUILD": "sh_binary(name = 's', srcs = ['s.sh'])", "s.sh": SHOW})
    (project.root / "s.sh").chmod(0o755 if executable else 0o644)

    assert project.run("//:s", "a b") == "<a b>\n"


def test_a_script_may_be_called_like_its_launcher(project: Project) -> None:
    project.write({"BUILD": "sh_binary(name = 'd/s.sh', srcs = ['s.sh'])", "s.sh": SHOW})

    assert project.run("//:d/s.sh", "x") == "<x>\n"


def test_arguments_come_before_those_of_the_command_line(project: Project) -> None:
    build = "sh_binary(name = 's', main = 's.sh', args = ['-a', \"b 'c d'\", '$(TARGET_CPU)$$'])"
    project.write({"BUILD": build, "s.sh": SHOW})

    words = project.run("//:s", "e").splitlines()

    assert [*words[:3], words[4]] == ["<-a>", "<b>", "<c d>", "<e>"]
    assert words[3].endswith("$>")


def test_locations_in_arguments_and_environment_are_paths_in_the_package_root(
    project: Project,
) -> None:
    build = """
sh_binary(
    name = "s", srcs = ["s.sh"], data = ["d.txt", ":t"],
    args = ["$(location d.txt)", "--tool=$(location :t)"], env = {"D": "x:$(rootpath d.txt)"},
)
sh_binary(name = "t", srcs = ["t.sh"])
"""
    script = 'cat "$1" "${D#x:}"; ${2#--tool=}'
    project.write({"p/BUILD": build, "p/s.sh": script, "p/t.sh": "echo tool", "p/d.txt": "d\n"})

    assert project.run("//p:s") == "d\nd\ntool\n"


def test_a_place_among_the_runfiles_is_a_plain_path(project: Project) -> None:
    build = """
sh_binary(
    name = "s", srcs = ["s.sh"], data = ["d.txt", "//p:e.txt"],
    args = ["$(rlocationpath d.txt)", "$(rlocationpath //p:e.txt)"],
)
"""
    files = {"d.txt": "", "p/BUILD": "exports_files(['e.txt'])", "p/e.txt": ""}
    project.write({"BUILD": build, "s.sh": 'echo "$@"', **files})

    assert project.run("//:s") == "_main/d.txt _main/p/e.txt\n"


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ("srcs = []", "it needs one script in `srcs`, there are 0"),
        ("srcs = ['s.sh', 't.sh']", "it needs one script in `srcs`, there are 2"),
        (
            "srcs = ['s.sh'], args = ['$(location t.sh)']",
            "`$(location t.sh)` in `args` names none of its files",
        ),
        ("srcs = ['s.sh'], args = ['\"a']", '`"a` in `args` is no list of shell words'),
    ],
)
def test_what_cannot_be_started_is_told(project: Project, attributes: str, message: str) -> None:
    project.write({"BUILD": f"sh_binary(name = 'x', {attributes})", "s.sh": "", "t.sh": ""})

    assert message in project.error("//:x")


def test_a_script_called_like_its_folder_has_another_launcher(project: Project) -> None:
    project.write(
        {"s/BUILD": 'sh_binary(name = "s", srcs = ["s.sh"], data = ["d.txt"])', "s/s.sh": SHOW}
        | {"s/d.txt": ""}
    )

    assert project.run("//s:s", "one") == "<one>\n"
