"""`write_file`, `copy_file` and `copy_directory`, through the files that load them."""

from __future__ import annotations

from typing import Protocol

import pytest

from lamina.core.tree import File, Node


class Project(Protocol):
    def write(self, files: dict[str, str]) -> None: ...
    def build(self, label: str) -> dict[str, Node]: ...
    def text(self, label: str, path: str = "") -> str: ...
    def error(self, label: str) -> str: ...


def load(rule: str) -> str:
    return f'load("@bazel_skylib//rules:{rule}.bzl", "{rule}")\n'


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ("", ""),
        ("content = ['a', 'b', '']", "a\nb\n"),
        ("content = ['a', 'b'], newline = 'unix'", "a\nb"),
        ("content = ['a', 'b'], newline = 'windows'", "a\r\nb"),
    ],
)
def test_a_file_has_the_lines_of_the_build_file(
    project: Project, attributes: str, expected: str
) -> None:
    call = f"write_file(name = 'w', out = 'd/w.txt', {attributes})"
    project.write({"p/BUILD": load("write_file") + call})

    assert project.text("//p:w", "p/d/w.txt") == expected


@pytest.mark.parametrize(("flag", "expected"), [("True", True), ("False", False)])
def test_what_is_written_or_copied_can_be_executable(
    project: Project, flag: str, expected: bool
) -> None:
    calls = f"""
write_file(name = "w", out = "w.sh", content = ["#!/bin/sh"], is_executable = {flag})
copy_file(name = "c", src = "x.sh", out = "c.sh", is_executable = {flag})
"""
    text = load("write_file") + load("copy_file") + calls
    project.write({"BUILD": text, "x.sh": "#!/bin/sh"})

    made = [project.build("//:w")["w.sh"], project.build("//:c")["c.sh"]]

    assert [isinstance(node, File) and node.executable for node in made] == [expected, expected]


def test_a_copy_has_the_content_of_a_file_or_of_what_makes_one(project: Project) -> None:
    calls = """
copy_file(name = "a", src = "x.txt", out = "a.txt")
copy_file(name = "b", src = ":a", out = "b.txt")
"""
    project.write({"p/BUILD": load("copy_file") + calls, "p/x.txt": "text"})

    assert project.text("//p:b", "p/b.txt") == "text"


def test_a_folder_is_copied_whole(project: Project) -> None:
    calls = """
genrule(name = "g", out = "d", cmd = "mkdir -p $OUT/e && echo x > $OUT/e/f")
copy_directory(name = "c", src = ":g", out = "copy")
"""
    project.write({"BUILD": load("copy_directory") + calls})

    assert list(project.build("//:c")) == ["copy/e/f"]


def test_an_unknown_end_of_line_is_told(project: Project) -> None:
    project.write({"BUILD": "write_file(name = 'w', out = 'w', newline = 'mac')"})

    assert "`newline` is `auto`, `unix` or `windows`, not `mac`" in project.error("//:w")
