"""Projects of others: real ones in small, built by real make, CMake and configure scripts."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Protocol

import pytest

from lamina.core.tree import File, Node


class Project(Protocol):
    root: Path

    def write(self, files: dict[str, str]) -> None: ...
    def build(self, label: str) -> dict[str, Node]: ...
    def text(self, label: str, path: str = "") -> str: ...
    def error(self, label: str) -> str: ...
    def package(self, label: str, at: Path | None = None) -> Path: ...
    def run(self, label: str, *arguments: str) -> str: ...
    @property
    def warnings(self) -> str: ...


# `one`: a Makefile, static library, PREFIX alone; tells where it was built, but for our flags.
ONE = {
    "one/src/Makefile": """\
CFLAGS ?= -g
all: libone.a
libone.a: one.o
\t$(AR) rc $@ $<
one.o: one.c
\t$(CC) $(CFLAGS) -c $(CURDIR)/one.c -o $@
install: libone.a
\tmkdir -p $(PREFIX)/include $(PREFIX)/lib/pkgconfig
\tcp one.h $(PREFIX)/include/
\tcp libone.a $(PREFIX)/lib/
\tsed 's|@|$(PREFIX)|' one.pc.in > $(PREFIX)/lib/pkgconfig/one.pc
""",
    "one/src/one.pc.in": "prefix=@\nName: one\nDescription: one\nVersion: 1\n"
    "Cflags: -I@/include\nLibs: -L@/lib -lone\n",
    "one/src/one.h": "int one(void); const char *one_file(void);\n",
    "one/src/one.c": '#include "one.h"\nint one(void) { return 1; }\n'
    "const char *one_file(void) { return __FILE__; }\n",
    "one/BUILD": "make_project(name = 'one', srcs = glob(['src/**']),"
    " out_static_libs = ['libone.a'], visibility = ['PUBLIC'])\n",
}
# `two`: a configure script, which finds `one` by the compiler; a shared library with a soname.
TWO = {
    "two/src/configure": """\
#!/bin/sh
for option; do case $option in --prefix=*) prefix=${option#*=};; --with-bias=*) bias=${option#*=};;
*) echo "unknown option $option" >&2; exit 2;; esac; done
echo 'int one(void); int main(void) { return one() - 1; }' > try.c
${CC:-cc} $CFLAGS $CPPFLAGS try.c $LDFLAGS -lone -o try || { echo "no one" >&2; exit 1; }
printf 'prefix=%s\\nbias=%s\\n' "$prefix" "$bias" > config.mk
""",
    "two/src/Makefile": """\
include config.mk
libtwo.so.2.0: two.c
\t$(CC) $(CFLAGS) $(CPPFLAGS) -DBIAS=$(bias) \\
\t\t-shared -Wl,-soname,libtwo.so.2 $< $(LDFLAGS) -lone -o $@
install: libtwo.so.2.0
\tmkdir -p $(DESTDIR)$(prefix)/lib $(DESTDIR)$(prefix)/include/two $(DESTDIR)$(prefix)/bin
\tcp $< $(DESTDIR)$(prefix)/lib/
\tln -s $< $(DESTDIR)$(prefix)/lib/libtwo.so.2
\tln -s libtwo.so.2 $(DESTDIR)$(prefix)/lib/libtwo.so
\tcp two.h $(DESTDIR)$(prefix)/include/two/
\tprintf '#!/bin/sh\\nprefix=$(prefix)\\necho $$prefix/lib\\n' > $(DESTDIR)$(prefix)/bin/two-config
\tchmod +x $(DESTDIR)$(prefix)/bin/two-config
\ttouch $(DESTDIR)$(prefix)/lib/libtwo.la
""",
    "two/src/two.h": "int two(void);\n",
    "two/src/two.c": "#include <one.h>\nint two(void) { return one() + BIAS; }\n",
    "two/BUILD": "configure_make(name = 'two', srcs = glob(['src/**']), deps = ['//one'],"
    " options = ['--with-bias=1'], out_shared_libs = ['libtwo.so'], includes = ['two'],"
    " sub_targets = ['bin/two-config'], visibility = ['PUBLIC'])\n",
}
# `three`: CMake, which finds `one` by pkg-config and `two` by its file; a library in both forms, a
# program, data, and a package for other users of CMake.
THREE = {
    "three/src/CMakeLists.txt": """\
cmake_minimum_required(VERSION 3.13)
project(three C)
find_package(PkgConfig REQUIRED)
pkg_check_modules(ONE REQUIRED IMPORTED_TARGET one)
find_library(TWO two REQUIRED)
find_path(TWO_INCLUDE two/two.h REQUIRED)
option(TWICE "twice" OFF)
foreach(kind STATIC SHARED)
  add_library(three_${kind} ${kind} three.c)
  set_target_properties(three_${kind} PROPERTIES OUTPUT_NAME three)
  target_include_directories(three_${kind} PUBLIC $<INSTALL_INTERFACE:include> ${TWO_INCLUDE})
  target_link_libraries(three_${kind} PUBLIC ${TWO} PkgConfig::ONE)
endforeach()
set_target_properties(three_SHARED PROPERTIES VERSION 3.1 SOVERSION 3)
if(TWICE)
  target_compile_definitions(three_STATIC PRIVATE TWICE)
  target_compile_definitions(three_SHARED PRIVATE TWICE)
endif()
add_executable(say say.c)
target_link_libraries(say three_SHARED)
install(TARGETS three_STATIC three_SHARED say ARCHIVE DESTINATION lib LIBRARY DESTINATION lib)
install(FILES three.h DESTINATION include)
install(FILES words.txt DESTINATION share/three)
configure_file(threeConfig.cmake.in threeConfig.cmake @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/threeConfig.cmake DESTINATION lib/cmake/three)
""",
    "three/src/threeConfig.cmake.in": 'set(THREE_DATA "@CMAKE_INSTALL_PREFIX@/share/three")\n',
    "three/src/three.h": "int three(void);\n",
    "three/src/three.c": "#include <one.h>\n#include <two/two.h>\n"
    "int three(void) {\n#ifdef TWICE\nreturn 2 * (one() + two());\n#else\nreturn one() + two();\n"
    "#endif\n}\n",
    "three/src/say.c": '#include <stdio.h>\n#include "three.h"\n'
    'int main(void) { printf("%d\\n", three()); return 0; }\n',
    "three/src/words.txt": "words\n",
    "three/BUILD": "cmake_project(name = 'three', srcs = glob(['src/**']),"
    " deps = ['//one', '//two'], cache_entries = {'TWICE': 'ON'},"
    " out_static_libs = ['libthree.a'], out_shared_libs = ['libthree.so'],"
    " out_binaries = ['say'], out_data_files = ['share/three/words.txt'],"
    " sub_targets = ['lib/cmake/three/threeConfig.cmake'], visibility = ['PUBLIC'])\n",
}
MAIN = """\
#include <cstdio>
extern "C" {
#include <one.h>
#include <two.h>
#include "three.h"
}
int main() { std::printf("%d %d %d\\n", one(), two(), three()); }
"""


@pytest.fixture
def projects(project: Project) -> Project:
    project.write({**ONE, **TWO, **THREE})
    return project


def test_a_makefile_makes_a_library(projects: Project) -> None:
    assert projects.build("//one").keys() >= {
        "one/one/include/one.h", "one/one/lib/libone.a", "one/one/lib/pkgconfig/one.pc",
    }  # fmt: skip


def test_what_is_installed_says_where_it_is_by_itself(projects: Project) -> None:
    assert "prefix=${pcfiledir}/../..\n" in projects.text("//one", "one/one/lib/pkgconfig/one.pc")
    assert "Cflags: -I${prefix}/include\n" in projects.text("//one", "one/one/lib/pkgconfig/one.pc")
    assert projects.text("//three:three[lib/cmake/three/threeConfig.cmake]") == (
        'set(THREE_DATA "${CMAKE_CURRENT_LIST_DIR}/../../../share/three")\n'
    )
    assert 'prefix=$(cd "$(dirname "$0")/.." && pwd)' in projects.text("//two:two[bin/two-config]")
    assert "two/two/lib/libtwo.la" not in projects.build("//two")


def test_nothing_tells_of_the_sandbox(projects: Project, tmp_path: Path) -> None:
    projects.package("//three", tmp_path / "root")

    found = subprocess.run(
        ["grep", "-r", "/work", str(tmp_path / "root")], capture_output=True, check=False
    )
    assert found.stdout == b""
    assert projects.warnings == ""


def test_projects_find_each_other_and_a_program_starts(projects: Project) -> None:
    assert projects.run("//three") == "6\n"


@pytest.mark.parametrize("style", ["static", "shared"])
def test_a_program_is_linked_with_them(projects: Project, style: str) -> None:
    projects.write(
        {
            "BUILD": f"cxx_binary(name = 'main', srcs = ['main.cc'], link_style = '{style}',"
            " deps = ['//one', '//two', '//three'])\n",
            "main.cc": MAIN,
        }
    )

    assert projects.run("//:main") == "1 2 6\n"


def test_a_shared_library_goes_by_its_soname(projects: Project, tmp_path: Path) -> None:
    projects.package("//three", tmp_path / "root")

    libraries = {path.name for path in (tmp_path / "root/lib").iterdir()}
    assert libraries == {"libtwo.so.2", "libthree.so.3"}
    assert (tmp_path / "root/share/three/words.txt").read_text() == "words\n"


def test_python_loads_one_of_them(projects: Project) -> None:
    main = "import ctypes\nprint(ctypes.CDLL('libthree.so.3').three())\n"
    projects.write(
        {
            "BUILD": "python_binary(name = 'p', main = 'main.py', deps = ['//three'])\n",
            "main.py": main,
        }
    )

    assert projects.run("//:p") == "6\n"


def test_a_project_is_built_on_a_library_of_another_rule(project: Project) -> None:
    project.write(
        {
            **TWO,
            "one/one.c": "int one(void) { return 41; }\n",
            "one/one.h": "int one(void);\n",
            "one/BUILD": "cxx_library(name = 'one', srcs = ['one.c'], hdrs = ['one.h'],"
            " includes = ['.'], visibility = ['PUBLIC'])\n",
            "BUILD": "cxx_binary(name = 'main', srcs = ['main.c'], deps = ['//two'])\n",
            "main.c": '#include <stdio.h>\n#include <two.h>\nint main() { printf("%d", two()); }\n',
        }
    )

    assert project.run("//:main") == "42"


def test_its_libraries_are_those_of_a_prebuilt_one(projects: Project) -> None:
    sub_targets = "sub_targets = ['include', 'lib/libone.a'], "
    projects.write(
        {
            "one/BUILD": ONE["one/BUILD"].replace("visibility", f"{sub_targets}visibility"),
            "BUILD": "prebuilt_cxx_library(name = 'pre', static_lib = '//one:one[lib/libone.a]',"
            " header_dirs = ['//one:one[include]'])\n"
            "cxx_binary(name = 'main', srcs = ['main.c'], deps = [':pre'])\n",
            "main.c": '#include <stdio.h>\n#include <one.h>\nint main() { printf("%d", one()); }\n',
        }
    )

    assert projects.run("//:main") == "1"


def test_a_program_of_theirs_is_a_tool_of_ours(projects: Project) -> None:
    projects.write(
        {
            "BUILD": "genrule(name = 'g', tools = ['//three'], outs = ['o'],"
            " cmd = '$(location //three) > $@')\n"
        }
    )

    assert projects.text("//:g") == "6\n"


def test_words_for_the_build_may_name_files_and_folders(project: Project) -> None:
    makefile = (
        "install:\n\tmkdir -p $(TO)/share\n\tcat $(FROM) > $(TO)/share/f; echo $(WORD) >> $@x\n"
        "\tcat $@x >> $(TO)/share/f\n"
    )
    project.write(
        {
            "src/Makefile": makefile,
            "f.txt": "data\n",
            "BUILD": "make(name = 'm', srcs = ['src/Makefile'], targets = ['install'],"
            " build_data = ['f.txt'], args = ['TO=$$INSTALLDIR$$', 'FROM=$(location f.txt)'],"
            " env = {'WORD': 'from-the-environment'}, out_data_files = ['share/f'],"
            " postfix_script = 'echo last >> share/f')\n",
        }
    )

    assert project.text("//:m", "m/share/f") == "data\nfrom-the-environment\nlast\n"


def test_a_file_that_is_not_installed_is_told_with_what_is(projects: Project) -> None:
    wrong = ONE["one/BUILD"].replace("libone.a", "libeins.a")
    projects.write({"one/BUILD": wrong})

    assert "it did not install `lib/libeins.a`; `lib` has: libone.a, pkgconfig" in (
        projects.error("//one")
    )


def test_a_project_that_says_nothing_of_what_it_makes_is_told(project: Project) -> None:
    project.write({"BUILD": "make_project(name = 'm', srcs = ['Makefile'])\n", "Makefile": ""})

    assert "it does not say what comes of it" in project.error("//:m")


def test_archives_are_the_same_whoever_makes_them(projects: Project) -> None:
    makefile = ONE["one/src/Makefile"].replace("$(AR) rc", "sleep 1; $(AR) rcU")
    projects.write({"one/src/Makefile": makefile})
    first = projects.build("//one")["one/one/lib/libone.a"]
    projects.write({"one/src/Makefile": makefile + "# changed\n"})

    assert projects.build("//one")["one/one/lib/libone.a"] == first
    assert isinstance(first, File)
