"""By which names headers are found, and by whom."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pytest

from lamina.core.tree import Node

PUBLIC = "package(default_visibility = ['//visibility:public'])\n"


class Project(Protocol):
    root: Path

    def write(self, files: dict[str, str]) -> None: ...
    def build(self, label: str) -> dict[str, Node]: ...
    def error(self, label: str) -> str: ...
    def run(self, label: str, *arguments: str) -> str: ...


def program(include: str) -> str:
    return f'#include <stdio.h>\n#include {include}\nint main() {{ printf("%d\\n", X); }}\n'


def using(library: str, include: str) -> dict[str, str]:
    """A library with the header `a/src/v1/x.h`, and a program that includes it."""
    return {
        "a/BUILD": PUBLIC + f"cc_library(name = 'lib', {library})",
        "a/src/v1/x.h": "#define X 7\n",
        "BUILD": "cc_binary(name = 'm', srcs = ['m.c'], deps = ['//a:lib'])",
        "m.c": program(include),
    }


HDRS = "hdrs = ['src/v1/x.h']"


@pytest.mark.parametrize(
    ("library", "include"),
    [
        (f"{HDRS}, strip_include_prefix = 'src'", '"v1/x.h"'),
        (f"{HDRS}, strip_include_prefix = 'src/v1'", "<x.h>"),
        (f"{HDRS}, strip_include_prefix = '/a/src'", '"v1/x.h"'),
        (f"{HDRS}, include_prefix = 'made/up'", '"made/up/src/v1/x.h"'),
        (f"{HDRS}, strip_include_prefix = 'src', include_prefix = 'p'", '"p/v1/x.h"'),
        (f"{HDRS}, strip_include_prefix = 'src', include_prefix = 'p'", '"a/src/v1/x.h"'),
        ("textual_hdrs = ['src/v1/x.h'], strip_include_prefix = 'src'", '"v1/x.h"'),
        (f"{HDRS}, includes = ['src']", "<v1/x.h>"),
        (f"{HDRS}, public_include_directories = ['src']", '"v1/x.h"'),
        (f"{HDRS}, public_system_include_directories = ['src/v1']", "<x.h>"),
        ("raw_headers = ['src/v1/x.h']", '"a/src/v1/x.h"'),
        (f"{HDRS}, header_namespace = ''", '"src/v1/x.h"'),
        (f"{HDRS}, header_namespace = 'n/s'", "<n/s/src/v1/x.h>"),
        (f"{HDRS}, header_namespace = 'n', exported_header_style = 'system'", "<n/src/v1/x.h>"),
        ("exported_headers = {'y.h': 'src/v1/x.h'}", '"a/y.h"'),
        ("exported_headers = {'y.h': 'src/v1/x.h'}, header_namespace = ''", '"y.h"'),
    ],
)
def test_a_header_is_found_by_the_name_its_library_gives_it(
    project: Project, library: str, include: str
) -> None:
    project.write(using(library, include))

    assert project.run("//:m") == "7\n"


@pytest.mark.parametrize("attribute", ["headers = ['src/x.h']", "headers = {'x.h': 'src/x.h'}"])
def test_private_headers_have_the_namespace_too(project: Project, attribute: str) -> None:
    name = "own/x.h" if "{" in attribute else "own/src/x.h"
    project.write(
        {
            "a/BUILD": f"cxx_binary(name='m', srcs=['m.c'], header_namespace='own', {attribute})",
            "a/src/x.h": "#define X 5\n",
            "a/m.c": program(f'"{name}"'),
        }
    )

    assert project.run("//a:m") == "5\n"


def test_a_header_outside_of_the_stripped_folder_is_told(project: Project) -> None:
    project.write(using(f"{HDRS}, strip_include_prefix = 'include'", '"x.h"'))

    words = project.error("//:m")

    assert "`//a:lib`: the header `src/v1/x.h` is not below `a/include`" in words


def test_include_folders_of_the_target_itself_reach_no_dependent(project: Project) -> None:
    project.write(using(f"{HDRS}, include_directories = ['src']", '"v1/x.h"'))

    assert "fatal error: v1/x.h" in project.error("//:m")


@pytest.mark.parametrize(("kind", "found"), [("deps", True), ("implementation_deps", False)])
def test_headers_of_implementation_deps_are_not_shown_to_dependents(
    project: Project, kind: str, found: bool
) -> None:
    project.write(
        {
            "BUILD": f"""
cc_library(name = "low", hdrs = ["low.h"], srcs = ["low.c"])
cc_library(name = "mid", srcs = ["mid.c"], {kind} = [":low"])
cc_binary(name = "m", srcs = ["m.c"], deps = [":mid"])
cc_binary(name = "direct", srcs = ["d.c"], deps = [":mid"])
""",
            "low.h": "int low();\n#define X 1\n",
            "low.c": "int low() { return 4; }\n",
            "mid.c": '#include "low.h"\nint mid() { return low() + X; }\n',
            "m.c": '#include <stdio.h>\nint mid(); int main() { printf("%d", mid()); }\n',
            "d.c": program('"low.h"'),
        }
    )

    assert project.run("//:m") == "5"
    if found:
        assert project.run("//:direct") == "1\n"
    else:
        assert "it reads `low.h`, which `//:direct` does not declare" in project.error("//:direct")


def test_headers_of_another_cell_are_named_from_its_root(project: Project) -> None:
    project.write(
        {
            "lamina.toml": '[cells]\nabseil = "third_party/abseil"\n',
            "third_party/abseil/absl/base/BUILD": PUBLIC
            + "cc_library(name = 'base', srcs = ['b.cc'], hdrs = ['b.h'], deps = ['//absl/c'])",
            "third_party/abseil/absl/base/b.h": '#pragma once\n#include "absl/c/c.h"\nint b();\n',
            "third_party/abseil/absl/base/b.cc": '#include "absl/base/b.h"\nint b() { return C; }',
            "third_party/abseil/absl/c/BUILD": PUBLIC + "cc_library(name = 'c', hdrs = ['c.h'])",
            "third_party/abseil/absl/c/c.h": "#define C 3\n",
            "BUILD": "cc_binary(name = 'm', srcs = ['m.cc'], deps = ['@abseil//absl/base'])",
            "m.cc": '#include <cstdio>\n#include "absl/base/b.h"\n#include <absl/c/c.h>\n'
            'int main() { std::printf("%d", b() * 10 + C); }\n',
        }
    )

    assert project.run("//:m") == "33"


def test_a_header_among_the_sources_is_there_for_exported_ones(project: Project) -> None:
    project.write(
        {
            "a/BUILD": PUBLIC + "cc_library(name='lib', hdrs=['x.h'], srcs=['x.inc', 'x.c'])",
            "a/x.h": '#include "a/x.inc"\n',
            "a/x.inc": "#define X 9\n",
            "a/x.c": "",
            "BUILD": "cc_binary(name = 'm', srcs = ['m.c'], deps = ['//a:lib'])",
            "m.c": program('"a/x.h"'),
        }
    )

    assert project.run("//:m") == "9\n"
