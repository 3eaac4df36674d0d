"""Which form of a library a link takes, in which order, and what comes along at run time."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.build.configuration import Configuration
from lamina.build.providers import Analysed, CxxInfo
from lamina.build.rules import cxx_link
from lamina.build.rules.cxx_response import shortened
from lamina.core.action import Action, Literal, Output
from lamina.core.label import Label
from lamina.core.tree import Node


class Project(Protocol):
    root: Path
    configuration: Configuration

    def write(self, files: dict[str, str]) -> None: ...
    def analyse(self, label: str) -> tuple[Label, dict[Label, Analysed]]: ...
    def build(self, label: str) -> dict[str, Node]: ...
    def error(self, label: str) -> str: ...
    def package(self, label: str, at: Path | None = None) -> Path: ...
    def run(self, label: str, *arguments: str) -> str: ...


def main(value: str, *declared: str) -> str:
    words = " ".join(f"int {name}();" for name in declared)
    return f'#include <stdio.h>\n{words}\nint main() {{ printf("%d", {value}); }}\n'


def needed(path: Path) -> list[str]:
    shown = subprocess.run(["readelf", "-d", path], capture_output=True, text=True, check=True)
    return re.findall(r"\(NEEDED\).*\[(.*)\]", shown.stdout)


def symbols(path: Path) -> str:
    return subprocess.run(["nm", path], capture_output=True, text=True, check=True).stdout


def names(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def chain(binary: str = "", middle: str = "", low: str = "") -> dict[str, str]:
    return {
        "BUILD": f"""
cxx_binary(name = "m", srcs = ["m.c"], deps = [":mid"], {binary})
cxx_library(name = "mid", srcs = ["mid.c"], deps = [":low"], data = ["mid.txt"], {middle})
cxx_library(name = "low", srcs = ["low.c", "unused.c"], {low})
""",
        "m.c": main("mid()", "mid"),
        "mid.c": "int low(); int mid() { return low() + 1; }\n",
        "mid.txt": "",
        "low.c": "int low() { return 1; }\n",
        "unused.c": "int unused() { return 1; }\n",
    }


SHARED = "link_style = 'shared'"
STATIC = "linkstatic = True"


@pytest.mark.parametrize(
    ("attributes", "libraries"),
    [
        ({}, set()),
        ({"binary": "link_style = 'static_pic'"}, set()),
        ({"binary": "linkstatic = True"}, set()),
        ({"binary": SHARED}, {"libmid.so", "liblow.so"}),
        ({"binary": "linkstatic = False"}, {"libmid.so", "liblow.so"}),
        ({"binary": SHARED, "low": STATIC}, {"libmid.so"}),
        ({"binary": SHARED, "low": "preferred_linkage = 'static'"}, {"libmid.so"}),
        ({"binary": SHARED, "middle": "force_static = True"}, {"liblow.so"}),
        ({"low": "preferred_linkage = 'shared'"}, {"liblow.so"}),
        ({"middle": "preferred_linkage = 'shared'"}, {"libmid.so", "liblow.so"}),
    ],
)
def test_a_program_has_the_libraries_it_loads_and_no_other(
    project: Project, attributes: dict[str, str], libraries: set[str]
) -> None:
    project.write(chain(**attributes))

    program = project.package("//:m")

    done = subprocess.run([program], env={}, capture_output=True, text=True, check=True)
    assert done.stdout == "2"
    expected = {f"lib/{name}" for name in libraries}
    assert names(program.parent) == {"m", "bin/m", "mid.txt"} | expected


def test_what_an_archive_has_and_nobody_calls_is_left_out(project: Project) -> None:
    project.write(chain())
    plain = symbols(project.package("//:m").parent / "bin/m")

    project.write(chain(low="link_whole = True"))
    whole = symbols(project.package("//:m").parent / "bin/m")

    assert "unused" not in plain
    assert "unused" in whole


def test_an_optimised_program_lacks_functions_nobody_calls(project: Project) -> None:
    files = chain() | {"low.c": "int low() { return 1; }\nint other() { return 5; }\n"}
    project.write(files)
    plain = symbols(project.package("//:m").parent / "bin/m")

    project.configuration = Configuration("opt")
    small = symbols(project.package("//:m").parent / "bin/m")

    assert "other" in plain
    assert "other" not in small


def test_the_layers_of_a_static_program_are_its_own_and_those_of_data(project: Project) -> None:
    project.write(chain(middle="resources = [':tool', 'mid.txt']"))
    text = (project.root / "BUILD").read_text().replace(' data = ["mid.txt"],', "")
    project.write({"BUILD": text + 'cxx_binary(name = "tool", srcs = ["t.c"])', "t.c": main("1")})

    label, analysed = project.analyse("//:m")

    assert analysed[label].runtime == (Label("", "", "tool"),)
    assert "mid.txt" in analysed[label].own


def test_two_objects_of_one_name_are_both_in_the_archive(project: Project) -> None:
    project.write(
        {
            "BUILD": """
cc_binary(name = "m", srcs = ["m.c"], deps = [":lib"])
cc_library(name = "lib", srcs = ["a/x.c", "b/x.c", "x.c", "x.cc", ":x2"])
genrule(name = "x2", outs = ["c/x.c"], cmd = "echo 'int c() { return 3; }' > $@")
""",
            "m.c": main("a() * 1000 + b() * 100 + c() * 10 + d() + e()", *"abcde"),
            "a/x.c": "int a() { return 1; }\n",
            "b/x.c": "int b() { return 2; }\n",
            "x.c": "int d() { return 4; }\n",
            "x.cc": 'extern "C" int e() { return 0; }\n',
        }
    )

    assert project.run("//:m") == "1234"


def test_two_targets_compile_one_source_differently(project: Project) -> None:
    project.write(
        {
            "BUILD": """
cc_binary(name = "m", srcs = ["m.c"], deps = [":one", ":two"])
cc_library(name = "one", srcs = ["x.c"], copts = ["-DNAME=one"])
cc_library(name = "two", srcs = ["x.c"], copts = ["-DNAME=two"])
""",
            "m.c": main("one() + two()", "one", "two"),
            "x.c": "int NAME() { return 1; }\n",
        }
    )

    assert project.run("//:m") == "2"


@pytest.mark.parametrize("style", ["static", "shared"])
def test_linker_flags_reach_the_final_link_after_the_libraries(
    project: Project, style: str
) -> None:
    project.write(
        {
            "BUILD": f"""
cxx_binary(name = "m", srcs = ["m.c"], deps = [":empty"], link_style = "{style}")
cc_library(name = "empty", deps = [":lib"])
cc_library(name = "lib", srcs = ["lib.c"], linkopts = ["-lm -Wl,--defsym=extra=0x2a"])
""",
            "m.c": main("lib(0)", "lib"),
            "lib.c": "double cos(double);\nint lib(int x) { return cos(x); }\n",
        }
    )

    program = project.package("//:m")

    assert subprocess.run([program], capture_output=True, check=True).stdout == b"1"
    assert "extra" in symbols(program.parent / "bin/m")


SCRIPT = "{ global: main; local: *; };\n"


@pytest.mark.parametrize(
    ("flags", "files"),
    [
        ("linkopts", "additional_linker_inputs"),
        ("linkopts", "deps"),
        ("linker_flags", "deps"),
    ],
)
def test_a_linker_script_is_found(project: Project, flags: str, files: str) -> None:
    project.write(
        {
            "p/BUILD": f"""
cc_binary(
    name = "m",
    srcs = ["m.c"],
    {flags} = ["-Wl,--version-script=$(location :x.lds)"],
    {files} = ["x.lds"],
)
""",
            "p/x.lds": SCRIPT,
            "p/m.c": main("7"),
        }
    )

    assert project.run("//p:m") == "7"


def test_a_dependency_that_is_no_library_is_told(project: Project) -> None:
    project.write(
        {
            "BUILD": "cc_binary(name = 'm', srcs = ['m.c'], deps = [':f'])\n"
            "filegroup(name = 'f', srcs = ['m.c'])",
            "m.c": "",
        }
    )

    assert "BUILD:1:47: `//:m`: `//:f` is not a C or C++ library" in project.error("//:m")


def test_a_shared_object_has_the_name_it_is_given(project: Project) -> None:
    project.write(
        {
            "p/BUILD": """
cc_binary(name = "libplug.so", srcs = ["plug.c"], deps = [":lib"], linkshared = True)
cc_library(name = "lib", srcs = ["lib.c"])
cc_library(name = "wrap", srcs = [":libplug.so"])
cc_binary(name = "loads", srcs = ["m.c"], deps = [":wrap"])
py_binary(name = "python", srcs = ["python.py"], data = [":libplug.so"])
""",
            "p/plug.c": "int lib(); int plug() { return lib() + 1; }\n",
            "p/lib.c": "int lib() { return 1; }\n",
            "p/m.c": main("plug()", "plug"),
            "p/python.py": "import ctypes, os\n"
            "here = os.path.dirname(__file__)\n"
            "print(ctypes.CDLL(os.path.join(here, 'libplug.so')).plug())\n",
        }
    )

    assert list(project.build("//p:libplug.so")) == ["p/libplug.so"]
    assert project.run("//p:loads") == "2"
    assert project.run("//p:python") == "2\n"


def test_malloc_is_linked(project: Project) -> None:
    project.write(
        {
            "BUILD": "cc_binary(name = 'm', srcs = ['m.c'], malloc = ':own')\n"
            "cc_library(name = 'own', srcs = ['own.c'])",
            "m.c": main("marked()", "marked"),
            "own.c": "int marked() { return 6; }\n",
        }
    )

    assert project.run("//:m") == "6"


def test_a_program_may_have_its_main_in_a_library(project: Project) -> None:
    project.write(
        {
            "BUILD": "cc_binary(name = 'm', deps = [':main'])\n"
            "cc_library(name = 'main', srcs = ['m.c'])",
            "m.c": main("8"),
        }
    )

    assert project.run("//:m") == "8"


CXX_SHARED = """
cc_library(name = "a", srcs = ["a.c"], deps = [":base"])
cc_library(name = "b", srcs = ["b.c"], deps = [":base"])
cc_library(name = "base", srcs = ["base.c"])
cc_shared_library(name = "base_shared", deps = [":base"], shared_lib_name = "libbase.so.2")
cc_shared_library(
    name = "both",
    deps = [":a", ":b"],
    dynamic_deps = [":base_shared"],
    user_link_flags = ["-Wl,--defsym=own=1"],
)
cc_binary(name = "m", srcs = ["m.c"], deps = [":a", ":base"], dynamic_deps = [":both"])
"""


def test_shared_libraries_of_several_libraries_hold_each_code_once(project: Project) -> None:
    project.write(
        {
            "BUILD": CXX_SHARED,
            "a.c": "int *base(); int a() { return ++*base(); }\n",
            "b.c": "int *base(); int b() { return ++*base(); }\n",
            "base.c": "int *base() { static int state; return &state; }\n",
            "m.c": main("a() * 100 + b() * 10 + ++*base()", "a", "b").replace(
                "int a()", "int *base(); int a()"
            ),
        }
    )

    program = project.package("//:m")

    assert subprocess.run([program], capture_output=True, check=True).stdout == b"123"
    assert names(program.parent) == {"m", "bin/m", "lib/libboth.so", "lib/libbase.so.2"}
    assert "libbase.so.2" in needed(program.parent / "lib/libboth.so")


def test_a_static_library_below_two_shared_ones_is_linked_where_it_is_called(
    project: Project,
) -> None:
    project.write(
        {
            "BUILD": """
cxx_binary(name = "m", srcs = ["m.c"], deps = [":a", ":b"], link_style = "shared")
cxx_library(name = "a", srcs = ["a.c"], deps = [":s"])
cxx_library(name = "b", srcs = ["b.c"], deps = [":s"])
cxx_library(name = "s", srcs = ["s.c", "unused.c"], linkstatic = True, deps = [":low"])
cxx_library(name = "low", srcs = ["low.c"])
""",
            "m.c": main("a() * 10 + b()", "a", "b"),
            "a.c": "int s(); int a() { return s(); }\n",
            "b.c": "int s(); int b() { return s() + 1; }\n",
            "s.c": "int low(); int s() { return low(); }\n",
            "low.c": "int low() { return 3; }\n",
            "unused.c": "int unused() { return 3; }\n",
        }
    )

    program = project.package("//:m")

    assert subprocess.run([program], capture_output=True, check=True).stdout == b"34"
    assert " T s\n" in symbols(program.parent / "lib/liba.so")
    assert "liblow.so" in needed(program.parent / "lib/liba.so")


def test_a_header_may_call_a_static_library_below_a_shared_one(project: Project) -> None:
    project.write(
        {
            "BUILD": """
cxx_binary(name = "m", srcs = ["m.c"], deps = [":a"], link_style = "shared")
cxx_library(name = "a", srcs = ["a.c"], hdrs = ["a.h"], deps = [":s"])
cxx_library(name = "s", srcs = ["s.c"], linkstatic = True, deps = [":low"])
cxx_library(name = "low", srcs = ["low.c"])
""",
            "m.c": '#include "a.h"\n' + main("a()"),
            "a.h": "int s(); static inline int a() { return s(); }\n",
            "a.c": "int other() { return 1; }\n",
            "s.c": "int low(); int s() { return low(); }\n",
            "low.c": "int low() { return 3; }\n",
        }
    )

    assert project.run("//:m") == "3"


def test_archives_stand_before_what_they_need_each_once() -> None:
    def info(name: str, *deps: CxxInfo) -> CxxInfo:
        return CxxInfo(archive=(name, Literal(b"")), deps=deps)

    low = info("low")
    left, right = info("left", low), info("right", low)

    chosen = cxx_link.choose((left, low, right), shared=False)

    order = [each.archive[0] for each in chosen.archives if each.archive]
    assert order == ["left", "right", "low"]


FORMS = st.sampled_from(["archive", "shared", "both", "none"])
GRAPHS = st.lists(
    st.tuples(FORMS, st.lists(st.integers(0, 99), max_size=3)), min_size=1, max_size=10
)


@given(GRAPHS, st.booleans())
def test_each_library_is_taken_in_one_form_in_its_order(
    graph: list[tuple[str, list[int]]], shared: bool
) -> None:
    infos: list[CxxInfo] = []
    for form, mentioned in graph:
        infos.append(
            CxxInfo(
                archive=("a", Literal(b"")) if form in ("archive", "both") else None,
                library=("s", Literal(b"")) if form in ("shared", "both") else None,
                deps=tuple(infos[n % len(infos)] for n in mentioned if infos),
            )
        )

    chosen = cxx_link.choose([infos[-1]], shared=shared)

    groups = (chosen.archives, chosen.near, chosen.far, chosen.late)
    taken = [info for group in groups for info in group]
    order = infos[-1].linked
    assert sorted(map(order.index, taken)) == [
        place for place, info in enumerate(order) if info.archive or info.library
    ]
    assert all([*map(order.index, group)] == sorted(map(order.index, group)) for group in groups)
    loaded = set(chosen.shared)
    assert all(info.library for info in loaded)
    assert all(info.archive for info in {*chosen.archives, *chosen.late})
    if not shared and not any(info.library and not info.archive for info in order):
        assert not loaded
    # There is no second copy of what a shared library loads.
    below = {each for info in loaded for each in info.linked}
    assert all(not info.library for info in below - loaded)


def test_a_short_command_line_stays_as_it_is() -> None:
    assert shortened(["a b", "c"]) == (["a b", "c"], [])


def test_a_long_command_line_goes_into_a_file_as_it_is() -> None:
    folder = "a_rather_long_name_of_a_folder/" * 4
    words = [f"{folder}{n}.o" for n in range(1000)] + ['"quoted" \\ and spaces']

    short, inputs = shortened(words)

    assert short[0].startswith("@")
    file = inputs[0][1]
    assert isinstance(file, Literal)
    read_back = subprocess.run(
        ["bash", "-c", 'eval "set -- $(tr "\\n" " ")"; printf "%s\\n" "$@"'],
        input=file.data, capture_output=True, check=True,
    )  # fmt: skip
    assert read_back.stdout.decode().splitlines() == words


def test_a_link_with_very_many_arguments_succeeds(project: Project) -> None:
    project.write(
        {
            "BUILD": "cxx_binary(name = 'm', srcs = ['m.c'], linker_flags ="
            " ['-Wl,--defsym=%s_%d=%d' % ('a' * 200, i, i) for i in range(12000)])",
            "m.c": main("3"),
        }
    )

    assert project.run("//:m") == "3"


def test_a_compilation_says_which_headers_it_reads(project: Project) -> None:
    project.write(
        {"BUILD": "cc_library(name = 'lib', srcs = ['x.c', 's.s'])", "x.c": "", "s.s": ""}
    )
    label, analysed = project.analyse("//:lib")

    archive = analysed[label].files[0][1]

    assert isinstance(archive, Output)
    made = [part.action for _, part in archive.action.inputs if isinstance(part, Output)]
    assert {each.subject: each.depfile for each in made} == {
        "x.c": "_objs/lib/x.c.o.d",
        "s.s": "",
    }
    assert _reads(made) == {"x.c", "s.s"}


def _reads(actions: list[Action]) -> set[str]:
    return {path for action in actions for path, _ in action.inputs}


def test_what_gcov_wants_to_know_comes_with_a_program_built_for_it(project: Project) -> None:
    project.write(chain())
    label, analysed = project.analyse("//:m")
    assert analysed[label].notes == ()

    project.configuration = Configuration(copts=("--coverage",), linkopts=("--coverage",))
    label, analysed = project.analyse("//:m")

    assert [path for path, _ in analysed[label].notes] == [
        "_objs/m/m.c.gcno",
        "_objs/mid/mid.c.gcno",
        "_objs/low/low.c.gcno",
        "_objs/low/unused.c.gcno",
    ]
    assert project.run("//:m") == "2"
