"""Libraries that come as files: as rules of their own, and among the sources of others."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from lamina.core.tree import Node


class Project(Protocol):
    root: Path

    def write(self, files: dict[str, str]) -> None: ...
    def build(self, label: str) -> dict[str, Node]: ...
    def error(self, label: str) -> str: ...
    def package(self, label: str, at: Path | None = None) -> Path: ...
    def run(self, label: str, *arguments: str) -> str: ...


MAIN = '#include <stdio.h>\nint lib(); int main() { printf("%d", lib()); }\n'
SOURCE = "int lib() { return 5; }\n"
REGISTERS = SOURCE + '#include <stdio.h>\n__attribute__((constructor)) void c() { printf("+"); }\n'


@pytest.fixture
def vendor(project: Project) -> Callable[..., None]:
    """Compile a library into the workspace, as `v/libx.a`, `v/x.o` and `v/libx.so`."""

    def compile_(source: str = SOURCE, *flags: str) -> None:
        folder = project.root / "v"
        folder.mkdir()

        def run(*words: str) -> None:
            subprocess.run(words, cwd=folder, check=True)

        (folder / "x.c").write_text(source)
        run("gcc", "-fPIC", "-c", "x.c", "-o", "x.o")
        run("ar", "qcs", "libx.a", "x.o")
        run("gcc", "-shared", "x.o", "-o", "libx.so", *flags)
        project.write({"m.c": MAIN})

    return compile_


def build_file(library: str, binary: str = "") -> dict[str, str]:
    return {
        "BUILD": f"cxx_binary(name = 'm', srcs = ['m.c'], deps = ['//v:x'], {binary})",
        "v/BUILD": f"package(default_visibility = ['PUBLIC'])\n{library}",
    }


SHARED = "link_style = 'shared'"


@pytest.mark.parametrize(
    ("library", "binary", "files"),
    [
        ("prebuilt_cxx_library(name='x', static_lib='libx.a')", "", []),
        ("prebuilt_cxx_library(name='x', static_pic_lib='libx.a')", SHARED, []),
        ("prebuilt_cxx_library(name='x', shared_lib='libx.so')", "", ["libx.so"]),
        ("prebuilt_cxx_library(name='x', static_lib='libx.a', shared_lib='libx.so')", "", []),
        (
            "prebuilt_cxx_library(name='x', static_lib='libx.a', shared_lib='libx.so')",
            SHARED,
            ["libx.so"],
        ),
        (
            "prebuilt_cxx_library(name='x', static_lib='libx.a', shared_lib='libx.so',"
            " preferred_linkage='static')",
            SHARED,
            [],
        ),
        ("cc_import(name='x', static_library='libx.a')", "", []),
        ("cc_import(name='x', shared_library='libx.so')", "", ["libx.so"]),
        (
            "cc_import(name='x', shared_library='libx.so', interface_library='libx.so')",
            "",
            ["libx.so"],
        ),
        ("cc_library(name='x', srcs=['libx.a'])", "", []),
        ("cc_library(name='x', srcs=['libx.so'])", "", ["libx.so"]),
        ("cc_library(name='x', srcs=['libx.a', 'libx.so'])", "", ["libx.so"]),
        ("cc_library(name='x', srcs=['x.o'])", "", []),
        ("cc_library(name='x', srcs=['x.o'])", SHARED, ["libv_x.so"]),
    ],
)
def test_a_library_is_linked_or_comes_along(
    project: Project, vendor: Callable[..., None], library: str, binary: str, files: list[str]
) -> None:
    vendor()
    project.write(build_file(library, binary))

    program = project.package("//:m")

    assert subprocess.run([program], env={}, capture_output=True, check=True).stdout == b"5"
    assert [path.name for path in program.parent.glob("lib/*")] == files


def test_a_library_is_loaded_by_its_versioned_name(
    project: Project, vendor: Callable[..., None]
) -> None:
    vendor(SOURCE, "-Wl,-soname,libx.so.3")
    project.write(
        build_file("prebuilt_cxx_library(name='x', shared_lib='libx.so', soname='libx.so.3')")
    )

    program = project.package("//:m")

    assert subprocess.run([program], capture_output=True, check=True).stdout == b"5"
    assert (program.parent / "lib/libx.so.3").exists()


@pytest.mark.parametrize(
    "library",
    [
        "cc_import(name='x', static_library='libx.a', alwayslink=True)",
        "prebuilt_cxx_library(name='x', static_lib='libx.a', link_whole=True)",
        "cc_library(name='x', srcs=['libx.a'], alwayslink=True)",
        "cc_library(name='x', srcs=[':libx.lo'])\n"
        "genrule(name='lo', srcs=['libx.a'], outs=['libx.lo'], cmd='cp $< $@')",
    ],
)
def test_all_of_an_archive_is_linked_where_it_says_so(
    project: Project, vendor: Callable[..., None], library: str
) -> None:
    vendor(REGISTERS)
    project.write(build_file(library) | {"m.c": "int main() { return 0; }\n"})

    assert project.run("//:m") == "+"


def test_what_the_machine_provides_does_not_come_along(project: Project) -> None:
    project.write(
        build_file(
            "cc_import(name='x', interface_library='libm.so', system_provided=True)\n"
            "genrule(name='g', outs=['libm.so'], cmd='cp $$(gcc -print-file-name=libm.so.6) $@')"
        )
        | {
            "m.c": "double cos(double);\n"
            + MAIN.replace("lib()", "(int)cos(n - 1)")
            .replace("int (int)cos(n - 1);", "")
            .replace("main()", "main(int n, char **v)")
        }
    )

    program = project.package("//:m")

    assert subprocess.run([program], capture_output=True, check=True).stdout == b"1"
    assert not (program.parent / "lib").exists()


def test_headers_and_flags_come_with_it(project: Project, vendor: Callable[..., None]) -> None:
    vendor()
    project.write(
        build_file(
            "prebuilt_cxx_library(name='x', static_lib='libx.a', exported_headers=['inc/lib.h'],"
            " header_namespace='', public_include_directories=['inc'],"
            " exported_preprocessor_flags=['-DONE=1'], exported_linker_flags=['-lm'])"
        )
        | {"v/inc/lib.h": "int lib();\n", "m.c": f"#include <lib.h>\n{MAIN}int one = ONE;\n"}
    )

    assert project.run("//:m") == "5"


@pytest.mark.parametrize(
    "library",
    [
        "prebuilt_cxx_library(name='x', header_only=True, exported_headers=['lib.h'])",
        "cc_import(name='x', hdrs=['lib.h'])",
    ],
)
def test_headers_alone_are_a_library(project: Project, library: str) -> None:
    project.write(
        build_file(library)
        | {"v/lib.h": "static int lib() { return 4; }\n", "m.c": f'#include "v/lib.h"\n{MAIN}'}
    )

    assert project.run("//:m") == "4"


def test_an_interface_without_its_library_is_told(project: Project) -> None:
    project.write(build_file("cc_import(name='x', interface_library='libx.so')"))
    project.write({"v/libx.so": "", "m.c": ""})

    words = project.error("//:m")

    assert "`//v:x`: it has an `interface_library` and no library" in words
