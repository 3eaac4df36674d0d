"""C and C++: compiled, linked and run; shared objects are looked at with readelf."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from lamina.core.tree import Node

PUBLIC = "package(default_visibility = ['//visibility:public'])\n"
MAIN = '#include <cstdio>\n{include}\nint main() {{ std::printf("%d\\n", {value}); }}\n'


class Project(Protocol):
    root: Path
    warnings: str

    def write(self, files: dict[str, str]) -> None: ...
    def build(self, label: str) -> dict[str, Node]: ...
    def text(self, label: str, path: str = "") -> str: ...
    def error(self, label: str) -> str: ...
    def package(self, label: str, at: Path | None = None) -> Path: ...
    def run(self, label: str, *arguments: str) -> str: ...


def main(value: str, *headers: str) -> str:
    return MAIN.format(value=value, include="\n".join(f"#include {each}" for each in headers))


def dynamic(path: Path, tag: str) -> list[str]:
    """The values of a tag in the dynamic section, as readelf shows them."""
    shown = subprocess.run(["readelf", "-d", path], capture_output=True, text=True, check=True)
    return re.findall(rf"\({tag}\).*\[(.*)\]", shown.stdout)


@pytest.mark.parametrize("header", ['"a/lib.h"', "<a/lib.h>"])
def test_a_header_is_found_by_its_path_in_the_workspace(project: Project, header: str) -> None:
    project.write(
        {
            "a/BUILD": PUBLIC + "cc_library(name = 'lib', srcs = ['lib.cc'], hdrs = ['lib.h'])",
            "a/lib.h": "#pragma once\nint one();\n",
            "a/lib.cc": '#include "lib.h"\nint one() { return 1; }\n',
            "BUILD": "cxx_binary(name = 'm', srcs = ['m.cc'], deps = ['//a:lib'])",
            "m.cc": main("one()", header),
        }
    )

    assert project.run("//:m") == "1\n"


def test_includes_are_folders_for_all_who_depend_on_it(project: Project) -> None:
    project.write(
        {
            "a/BUILD": PUBLIC
            + "cc_library(name = 'lib', hdrs = ['inc/x/lib.h', 'top.h'], includes = ['inc', '.'])\n"
            + "cc_library(name = 'above', deps = [':lib'])",
            "a/inc/x/lib.h": "#define X 20\n",
            "a/top.h": "#define Y 3\n",
            "BUILD": "cc_binary(name = 'm', srcs = ['m.cc'], deps = ['//a:above'])",
            "m.cc": main("X + Y", "<x/lib.h>", '"top.h"'),
        }
    )

    assert project.run("//:m") == "23\n"


def test_defines_reach_dependents_and_local_ones_do_not(project: Project) -> None:
    project.write(
        {
            "BUILD": """
cc_library(name = "lib", srcs = ["lib.cc"], defines = ["WIDE=2"], local_defines = ["LOCAL=5"])
cc_binary(name = "m", srcs = ["m.cc"], deps = [":lib"])
""",
            "lib.cc": "int lib() { return WIDE * 10 + LOCAL; }\n",
            "m.cc": "#ifdef LOCAL\n#error LOCAL\n#endif\nint lib();\n" + main("lib() + WIDE"),
        }
    )

    assert project.run("//:m") == "27\n"


def test_flags_of_both_dialects_reach_the_compiler(project: Project) -> None:
    project.write(
        {
            "BUILD": """
cc_library(
    name = "lib",
    srcs = ["lib.cc"],
    compiler_flags = ["-DA=1"],
    preprocessor_flags = ["-DB=2"],
    exported_preprocessor_flags = ["-DC=3"],
)
cc_binary(name = "m", srcs = ["m.cc"], copts = ["-DD=4"], deps = [":lib"])
""",
            "lib.cc": "int lib() { return A + B + C; }\n",
            "m.cc": "int lib();\n" + main("lib() * 100 + C * 10 + D"),
        }
    )

    assert project.run("//:m") == "634\n"


def test_c_and_cxx_are_mixed(project: Project) -> None:
    project.write(
        {
            "BUILD": """
cc_library(name = "lib", srcs = ["c.c", "x.cc"], hdrs = ["c.h"])
cc_binary(name = "m", srcs = ["m.cc"], deps = [":lib"])
""",
            "c.h": '#ifdef __cplusplus\nextern "C"\n#endif\nint c(int class_);\n',
            "c.c": '#include "c.h"\nint c(int class) { return class + 1; }\n',
            "x.cc": '#include "c.h"\nint x() { return c(1); }\n',
            "m.cc": '#include "c.h"\nint x();\n' + main("x() * 10 + c(4)"),
        }
    )

    assert project.run("//:m") == "25\n"


def test_assembler_is_compiled(project: Project) -> None:
    project.write(
        {
            "BUILD": "cc_binary(name = 'm', srcs = ['m.cc', 'a.S'])",
            "a.S": '.data\n.globl seven\nseven: .long 7\n.section .note.GNU-stack,""\n',
            "m.cc": 'extern "C" int seven;\n' + main("seven"),
        }
    )

    assert project.run("//:m") == "7\n"


def test_a_library_of_headers_stands_between_two_with_code(project: Project) -> None:
    project.write(
        {
            "BUILD": """
cc_binary(name = "m", srcs = ["m.cc"], deps = [":middle"])
cc_library(name = "middle", hdrs = ["middle.h"], deps = [":bottom"])
cc_library(name = "bottom", srcs = ["bottom.cc"], hdrs = ["bottom.h"])
""",
            "middle.h": '#include "bottom.h"\ninline int middle() { return bottom() + 1; }\n',
            "bottom.h": "int bottom();\n",
            "bottom.cc": "int bottom() { return 1; }\n",
            "m.cc": main("middle()", '"middle.h"'),
        }
    )

    assert project.run("//:m") == "2\n"
    assert list(project.build("//:middle")) == []


def test_a_header_may_call_what_lies_below_its_own_library(project: Project) -> None:
    project.write(
        {
            "BUILD": """
cc_binary(name = "m", srcs = ["m.cc"], deps = [":middle"])
cc_library(name = "middle", srcs = ["middle.cc"], hdrs = ["middle.h"], deps = [":bottom"])
cc_library(name = "bottom", srcs = ["bottom.cc"], hdrs = ["bottom.h"])
""",
            "middle.h": '#include "bottom.h"\ninline int middle() { return bottom() + 1; }\n',
            "middle.cc": "int other() { return 0; }\n",
            "bottom.h": "int bottom();\n",
            "bottom.cc": "int bottom() { return 1; }\n",
            "m.cc": main("middle()", '"middle.h"'),
        }
    )

    assert project.run("//:m") == "2\n"


CHAIN = {
    "BUILD": PUBLIC + "cc_binary(name = 'm', srcs = ['m.cc'], deps = ['//a:lib'], linkstatic = 0)",
    "m.cc": "int a();\n" + main("a()"),
    "a/BUILD": PUBLIC + "cc_library(name = 'lib', srcs = ['lib.cc'], deps = ['//b:lib'])",
    "a/lib.cc": "int b();\nint a() { return b() + 1; }\n",
    "b/BUILD": PUBLIC + "cc_library(name = 'lib', srcs = ['lib.cc'])",
    "b/lib.cc": "int b() { return 1; }\n",
}


def test_two_libraries_of_one_name_in_two_build_packages(project: Project) -> None:
    project.write(CHAIN)

    program = project.package("//:m")

    names = {path.name for path in (program.parent / "lib").iterdir()}
    assert names == {"liba_lib.so", "libb_lib.so"}


def test_two_libraries_whose_paths_read_alike_are_not_mixed_up(project: Project) -> None:
    project.write(
        {
            "BUILD": """
cxx_binary(name = "m", srcs = ["m.cc"], deps = ["//a/b:c", "//a:b_c"], link_style = "shared")
cxx_binary(name = "static", srcs = ["m.cc"], deps = ["//a/b:c", "//a:b_c"])
""",
            "m.cc": "int x(); int y();\n" + main("x() * 10 + y()"),
            "a/BUILD": PUBLIC + "cc_library(name = 'b_c', srcs = ['y.cc'])",
            "a/y.cc": "int y() { return 2; }\n",
            "a/b/BUILD": PUBLIC + "cc_library(name = 'c', srcs = ['x.cc'])",
            "a/b/x.cc": "int x() { return 1; }\n",
        }
    )

    words = project.error("//:m")

    assert "`//:m`: two of the libraries below it are called `liba_b_c.so`" in words
    assert "hint: give one of them another `soname`" in words
    assert project.run("//:static") == "12\n"


@pytest.mark.parametrize("place", ["here", "a folder/with spaces", "deep/er/than/that"])
def test_libraries_are_found_wherever_the_package_lies(
    project: Project, tmp_path: Path, place: str
) -> None:
    project.write(CHAIN)

    program = project.package("//:m", tmp_path / place)

    done = subprocess.run([program], env={}, capture_output=True, text=True, check=True)
    assert done.stdout == "2\n"


@pytest.mark.parametrize(
    ("binary", "library"),
    [("link_style = 'shared'", ""), ("", "alwayslink = 1"), ("", "preferred_linkage = 'shared'")],
)
def test_a_library_that_is_not_called_registers_itself(
    project: Project, binary: str, library: str
) -> None:
    project.write(
        {
            "BUILD": f"""
cxx_binary(name = "m", srcs = ["m.cc"], deps = [":register"], {binary})
cc_library(name = "register", srcs = ["r.cc"], {library})
""",
            "r.cc": '#include <cstdio>\nstatic int once = std::printf("registered\\n");\n',
            "m.cc": main("1"),
        }
    )

    assert project.run("//:m") == "registered\n1\n"


def test_a_library_says_its_name_and_what_it_needs(project: Project) -> None:
    project.write(CHAIN)

    library = project.package("//:m").parent / "lib/liba_lib.so"

    assert dynamic(library, "SONAME") == ["liba_lib.so"]
    assert dynamic(library, "RUNPATH") == ["$ORIGIN"]
    assert "libb_lib.so" in dynamic(library, "NEEDED")


def test_a_soname_can_be_given(project: Project) -> None:
    project.write(
        {
            "BUILD": """
cc_library(name = "lib", srcs = ["lib.cc"], soname = "libown.so.1")
cc_binary(name = "m", srcs = ["m.cc"], deps = [":lib"], linkstatic = False)
""",
            "lib.cc": "int lib() { return 1; }\n",
            "m.cc": "int lib();\n" + main("lib()"),
        }
    )

    program = project.package("//:m")

    assert dynamic(program.parent / "lib/libown.so.1", "SONAME") == ["libown.so.1"]
    assert subprocess.run([program], capture_output=True, check=True).stdout == b"1\n"


def test_an_undefined_symbol_is_an_error_of_the_link(project: Project) -> None:
    project.write(
        {
            "a/BUILD": "cxx_library(name='lib', srcs=['lib.cc'], preferred_linkage = 'shared')",
            "a/lib.cc": "int nowhere();\nint lib() { return nowhere(); }\n",
        }
    )

    words = project.error("//a:lib")

    assert words.startswith("`//a:lib`: CxxLink liba_lib.so failed with exit code 1")
    assert "undefined reference to `nowhere()'" in words


def test_a_header_nobody_declared_cannot_be_read(project: Project) -> None:
    project.write(
        {
            "p/BUILD": "cc_library(name = 'lib', srcs = ['lib.cc'])",
            "p/lib.cc": '#include "secret.h"\n',
            "p/secret.h": "",
        }
    )

    words = project.error("//p:lib")

    assert "it reads `p/secret.h`, which `//p:lib` does not declare" in words
    assert "fatal error: secret.h: No such file or directory" in words


def test_headers_of_a_library_itself_are_hidden_from_others(project: Project) -> None:
    project.write(
        {
            "BUILD": """
cc_library(name = "lib", srcs = ["lib.cc", "in_srcs.h"], headers = ["own.h"])
cc_library(name = "user", srcs = ["user.cc"], deps = [":lib"])
""",
            "own.h": "",
            "in_srcs.h": "",
            "lib.cc": '#include "own.h"\n#include "in_srcs.h"\n',
            "user.cc": '#include "own.h"\n',
        }
    )

    assert list(project.build("//:lib")) == ["liblib.a"]
    assert "it reads `own.h`, which `//:user` does not declare" in project.error("//:user")


def test_a_header_of_the_workspace_does_not_hide_one_of_the_system(project: Project) -> None:
    project.write(
        {
            "BUILD": "cc_binary(name = 'm', srcs = ['m.cc'], headers = ['string.h'])",
            "string.h": "#error not this one\n",
            "m.cc": "#include <cstring>\n" + main('(int)std::strlen("abc")'),
        }
    )

    assert project.run("//:m") == "3\n"


def test_generated_sources_and_headers_are_compiled(project: Project) -> None:
    project.write(
        {
            "g/BUILD": PUBLIC
            + """
genrule(name = "header", outs = ["sub/gen.h"], cmd = "echo '#define N 40' > $@")
genrule(name = "source", outs = ["gen.cc"], cmd = "echo 'int two() { return 2; }' > $@")
cc_library(name = "lib", srcs = [":source"], hdrs = [":header"])
""",
            "BUILD": "cc_binary(name = 'm', srcs = ['m.cc', '//g:gen.cc'], deps = ['//g:lib'])",
            "m.cc": "int two();\n" + main("N + two()", '"g/sub/gen.h"'),
        }
    )

    assert project.run("//:m") == "42\n"


def test_a_filegroup_of_sources_is_compiled(project: Project) -> None:
    project.write(
        {
            "BUILD": """
filegroup(name = "sources", srcs = ["m.cc", "n.cc", "n.h"])
cc_binary(name = "m", srcs = [":sources"])
""",
            "n.h": "int n();\n",
            "n.cc": "int n() { return 9; }\n",
            "m.cc": main("n()", '"n.h"'),
        }
    )

    assert project.run("//:m") == "9\n"


def test_the_linker_gets_its_flags(project: Project) -> None:
    project.write(
        {
            "BUILD": """
cc_library(name = "lib", srcs = ["lib.c"], linkopts = ["-lm"])
cc_binary(name = "m", srcs = ["m.c"], deps = [":lib"], linker_flags = ["-Wl,-rpath,/own"])
""",
            "lib.c": "double cos(double);\ndouble lib(double x) { return cos(x); }\n",
            "m.c": "#include <math.h>\n#include <stdio.h>\nint main(int n, char **v) "
            '{ printf("%.0f\\n", cos(n - 1)); }\n',
        }
    )

    assert project.run("//:m") == "1\n"
    assert dynamic(project.package("//:m").parent / "bin/m", "RUNPATH") == ["$ORIGIN/../lib:/own"]


def test_a_program_has_its_data_and_environment(project: Project) -> None:
    project.write(
        {
            "p/BUILD": "cc_binary(name='m', srcs=['m.c'], data=['d.txt'], env={'A': 'b c'})",
            "p/d.txt": "data",
            "p/m.c": '#include <stdio.h>\n#include <stdlib.h>\nint main() { puts(getenv("A")); }\n',
        }
    )

    program = project.package("//p:m")

    assert subprocess.run([program], capture_output=True, check=True).stdout == b"b c\n"
    assert (program.parent / "p/d.txt").read_text() == "data"


def test_only_a_program_with_data_beside_it_is_called_otherwise(project: Project) -> None:
    code = {"m/m.c": '#include <stdio.h>\nint main() { puts("one"); }\n', "m/d.txt": ""}
    project.write({"m/BUILD": "cc_binary(name='m', srcs=['m.c'])", **code})
    alone = project.package("//m:m", project.root.parent / "alone")
    project.write({"m/BUILD": "cc_binary(name='m', srcs=['m.c'], data=['d.txt'])"})

    assert (alone.name, project.package("//m:m").name) == ("m", "m.sh")
    assert project.run("//m:m") == "one\n"


def test_arguments_and_environment_may_name_data(project: Project) -> None:
    project.write(
        {
            "p/BUILD": "cc_binary(name='m', srcs=['m.c'], data=['d.txt'],"
            " args=['-f $(location d.txt)'], env={'D': '$(location :d.txt)'})",
            "p/d.txt": "data",
            "p/m.c": "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n"
            "int main(int n, char **v) {\n"
            '  printf("%d %s %d\\n", n, v[1], strcmp(v[2], getenv("D")));\n'
            '  return !fopen(v[2], "r");\n}\n',
        }
    )

    assert project.run("//p:m", "more") == "4 -f 0\n"


def test_a_program_is_handed_its_arguments(project: Project) -> None:
    project.write(
        {
            "BUILD": "cc_binary(name = 'm', srcs = ['m.c'])",
            "m.c": "#include <stdio.h>\nint main(int n, char **v) { while (--n) puts(*++v); }\n",
        }
    )

    assert project.run("//:m", "a b", "", "*") == "a b\n\n*\n"


EXTENSION = """
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include "lib.h"
static PyObject *value(PyObject *, PyObject *) { return PyLong_FromLong(lib()); }
static PyMethodDef methods[] = {{"value", value, METH_NOARGS, ""}, {}};
static PyModuleDef module = {PyModuleDef_HEAD_INIT, "native", "", -1, methods};
PyMODINIT_FUNC PyInit_native() { return PyModule_Create(&module); }
"""


@pytest.mark.parametrize(
    ("attributes", "name"),
    [
        ("name = 'native'", "p.native"),
        ("name = 'native', base_module = ''", "native"),
        ("name = 'native', base_module = 'x.y'", "x.y.native"),
        ("name = 'other', module_name = 'native'", "p.native"),
    ],
)
def test_an_extension_is_imported_by_its_name(project: Project, attributes: str, name: str) -> None:
    target = re.findall(r"name = '(\w+)'", attributes)[0]
    project.write(
        {
            "p/BUILD": f"""
cxx_python_extension({attributes}, srcs = ["n.cc"], deps = [":lib"])
cc_library(name = "lib", srcs = ["lib.cc"], hdrs = ["lib.h"], includes = ["."])
python_binary(name = "m", srcs = ["m.py"], deps = [":{target}"])
""",
            "p/n.cc": EXTENSION,
            "p/lib.h": "int lib();\n",
            "p/lib.cc": "int lib() { return 77; }\n",
            "p/m.py": f"import {name}\nprint({name}.value())\n",
        }
    )

    assert project.run("//p:m") == "77\n"


def test_warnings_of_the_compiler_are_shown(project: Project) -> None:
    project.write(
        {
            "BUILD": "cc_library(name = 'lib', srcs = ['lib.cc'], copts = ['-Wall'])",
            "lib.cc": "static int unused;\n",
        }
    )

    project.build("//:lib")

    assert "unused" in project.warnings


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("cc_library(name = 'x', srcs = ['x.py'])", "`x.py` in `srcs` is not C, C++ or assembler"),
        ("cc_binary(name = 'x')", "no C or C++ file in `srcs` to make a program of"),
        (
            "cxx_python_extension(name = 'x')",
            "no C or C++ file in `srcs` to make an extension module of",
        ),
    ],
)
def test_a_target_that_makes_no_sense_is_told(project: Project, rule: str, expected: str) -> None:
    project.write({"p/BUILD": rule, "p/x.py": ""})

    assert f"`//p:x`: {expected}" in project.error("//p:x")


def test_outputs_do_not_know_where_they_were_built(
    project: Project, make_project: Callable[[str], Project]
) -> None:
    other = make_project("another/place")
    for each in (project, other):
        each.write(CHAIN)
        each.write(
            {"a/lib.cc": CHAIN["a/lib.cc"] + "const char *f() { return __FILE__ __TIME__; }"}
        )

    assert project.build("//a:lib") == other.build("//a:lib")


def test_a_library_brings_its_data_and_the_programs_in_it(project: Project) -> None:
    project.write(
        {
            "BUILD": """
cc_library(name = "a", srcs = ["a.cc"], data = ["d.txt", ":group"])
cc_binary(name = "tool", srcs = ["t.cc"])
filegroup(name = "group", srcs = [":tool", "e.txt"])
cc_binary(name = "main", srcs = ["t.cc"], deps = [":a"])
""",
            "a.cc": "",
            "t.cc": "int main() {}\n",
            "d.txt": "",
            "e.txt": "",
        }
    )

    root = project.package("//:main").parent

    wanted = ["main", "tool", "bin/main", "bin/tool", "d.txt", "e.txt"]
    assert [name for name in wanted if not (root / name).exists()] == []
