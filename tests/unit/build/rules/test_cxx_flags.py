"""Flags: split or taken word for word, with what they name put in, and those of a configuration."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Protocol

import pytest

from lamina.build.configuration import Configuration
from lamina.core.tree import Node


class Project(Protocol):
    root: Path
    configuration: Configuration

    def write(self, files: dict[str, str]) -> None: ...
    def build(self, label: str) -> dict[str, Node]: ...
    def error(self, label: str) -> str: ...
    def package(self, label: str, at: Path | None = None) -> Path: ...
    def run(self, label: str, *arguments: str) -> str: ...


PRINT = "#include <stdio.h>\n#define S_(x) #x\n#define S(x) S_(x)\n"


def show(value: str) -> str:
    return f'{PRINT}int main() {{ printf("%s", {value}); }}\n'


@pytest.mark.parametrize(
    ("attribute", "expected"),
    [
        (r"""copts = ["-DA=x -DB=y"]""", "xy"),
        (r"""copts = ["-DA='x y'", "-DB="]""", "x y"),
        (r"""copts = ["-DA=x", "-DB=\\\"y\\\""]""", 'x"y"'),
        (r"""defines = ["A=x", "B='y z'"]""", "xy z"),
        (r"""local_defines = ["A=x", "B=$(COMPILATION_MODE)"]""", "xfastbuild"),
        (r"""copts = ["-DA=$$x", "-DB=$(own)"]""", "$xdefined"),
        (r"""compiler_flags = ["-DA=x -y", "-DB=$$"]""", "x -y$$"),
        (r"""preprocessor_flags = ["-DA='x'", "-DB="]""", "'x'"),
        (r"""features = ["no_copts_tokenization"], copts = ["-DA=x y", "-DB="]""", "x y"),
        (r"""conlyopts = ["-DA=x"], cxxopts = ["-DA=z"], copts = ["-DB=y"]""", "xy"),
        (r"""lang_compiler_flags = {"c": ["-DA=x"], "cxx": ["-DA=z"]}, copts = ["-DB="]""", "x"),
        (r"""lang_preprocessor_flags = {"c": ["-DA=x", "-DB=y"]}""", "xy"),
    ],
)
def test_flags_are_read_as_their_dialect_does(
    project: Project, attribute: str, expected: str
) -> None:
    project.configuration = Configuration(defines=(("own", "defined"),))
    project.write(
        {
            "BUILD": f"cc_binary(name = 'm', srcs = ['m.c'], {attribute})",
            "m.c": show("S(A) S(B)"),
        }
    )

    assert project.run("//:m") == expected


def test_a_source_has_flags_of_its_own(project: Project) -> None:
    project.write(
        {
            "BUILD": "cxx_binary(name='m', srcs=[('m.c', ['-DA=1', '-DB=2']), 'n.c'])",
            "m.c": "extern char *n;\n" + show("S(A) S(B)"),
            "n.c": "char *n = 0;\n#ifdef A\n#error A\n#endif\n",
        }
    )

    assert project.run("//:m") == "12"


def test_a_flag_may_name_a_file(project: Project) -> None:
    project.write(
        {
            "p/BUILD": """
cc_binary(
    name = "m",
    srcs = ["m.c"],
    copts = ["-include $(location :gen)"],
    additional_compiler_inputs = [":gen"],
)
genrule(name = "gen", outs = ["gen.h"], cmd = "echo '#define A forced' > $@")
""",
            "p/m.c": show("S(A)"),
        }
    )

    assert project.run("//p:m") == "forced"


@pytest.mark.parametrize(
    ("attribute", "expected"),
    [
        ('copts = ["-DA=\'x"]', "in `copts` is no list of shell words: no closing quotation"),
        ('copts = ["$(NOWHERE)"]', "unknown variable `$(NOWHERE)` in `copts`"),
        (
            'linkopts = ["$(location y.c)"]',
            "`$(location y.c)` in `linkopts` names none of its files",
        ),
        ('link_style = "dynamic"', '`link_style` cannot be `"dynamic"`'),
    ],
)
def test_what_makes_no_sense_is_told(project: Project, attribute: str, expected: str) -> None:
    project.write({"BUILD": f"cxx_binary(name = 'm', srcs = ['m.c'], {attribute})", "m.c": ""})

    words = project.error("//:m")

    assert f"`//:m`: {expected}" in words or expected in words
    assert "hint: " in words
    assert words.startswith("BUILD:1:")


MODES = "#ifdef NDEBUG\n#define A ndebug\n#else\n#define A debug\n#endif\n" + show("S(A) S(X)")


@pytest.mark.parametrize(("mode", "expected"), [("fastbuild", "debug"), ("opt", "ndebug")])
def test_the_mode_tells_whether_there_are_assertions(
    project: Project, mode: str, expected: str
) -> None:
    project.configuration = Configuration(mode, copts=("-DX=1",), cxxopts=("-DX=2",))
    project.write({"BUILD": "cc_binary(name = 'm', srcs = ['m.c'])", "m.c": MODES})

    assert project.run("//:m") == expected + "1"


def sections(program: Path) -> str:
    shown = subprocess.run(["readelf", "-SW", program], capture_output=True, text=True, check=True)
    return shown.stdout


def test_only_a_debug_build_can_be_debugged(project: Project) -> None:
    project.write({"BUILD": "cc_binary(name = 'm', srcs = ['m.c'])", "m.c": "int main() {}\n"})
    plain = sections(project.package("//:m").parent / "bin/m")

    project.configuration = Configuration("dbg")
    debug = sections(project.package("//:m").parent / "bin/m")

    assert ".debug_info" in debug
    assert ".debug_info" not in plain


def test_flags_of_the_workspace_reach_their_language(project: Project) -> None:
    project.write(
        {
            "lamina.toml": "[cxx]\ncompiler_flags = ['-DALL=1']\nc_flags = ['-DA=2']\n"
            "cxx_flags = ['-DB=3']\n",
            "BUILD": "cc_binary(name = 'm', srcs = ['m.c', 'n.cc'])",
            "m.c": "#ifdef B\n#error B\n#endif\nextern int n;\n"
            + '#include <stdio.h>\nint main() { printf("%d%d%d", ALL, A, n); }\n',
            "n.cc": '#ifdef A\n#error A\n#endif\nextern "C" { int n = ALL * 10 + B; }\n',
        }
    )

    assert project.run("//:m") == "1213"


@pytest.mark.parametrize("root", ["external/zlib", "$(GENDIR)/external/zlib"])
def test_a_flag_may_name_a_folder_where_bazel_has_a_cell(project: Project, root: str) -> None:
    project.write(
        {
            "lamina.toml": '[cells]\nzlib = "third_party/zlib"\n',
            "third_party/zlib/BUILD": f"""
cc_library(name = "z", hdrs = ["inc/z.h"], visibility = ["//visibility:public"])
cc_binary(name = "m", srcs = ["m.c"], deps = [":z"], copts = ["-I{root}/inc"])
""",
            "third_party/zlib/inc/z.h": "#define A z\n",
            "third_party/zlib/m.c": "#include <z.h>\n" + show("S(A)"),
        }
    )

    program = project.package("@zlib//:m")

    assert subprocess.run([program], capture_output=True, check=True).stdout == b"z"
