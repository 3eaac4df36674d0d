"""`http_archive`, `local_archive`: what is in them is used by rules of every kind."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import pytest

from lamina.core.tree import Node


class Project(Protocol):
    root: Path

    def write(self, files: dict[str, str]) -> None: ...
    def build(self, label: str) -> dict[str, Node]: ...
    def text(self, label: str, path: str = "") -> str: ...
    def error(self, label: str) -> str: ...
    def run(self, label: str, *arguments: str) -> str: ...


LIBRARY = {
    "calc-2/include/calc/calc.h": "int twice(int);\n",
    "calc-2/src/calc.c": '#include "calc/calc.h"\nint twice(int x) { return 2 * x; }\n',
    "calc-2/data/words.txt": "words\n",
    "calc-2/README": "read me\n",
}
MAIN = '#include <stdio.h>\n#include "calc/calc.h"\nint main() { printf("%d\\n", twice(21)); }\n'


def archive(path: Path, files: Mapping[str, str] = LIBRARY) -> Path:
    with tarfile.open(path, "w:gz") as made:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            made.addfile(info, io.BytesIO(text.encode()))
    return path


@pytest.fixture
def calc(project: Project) -> Project:
    """A workspace with the archive of a C library in it."""
    archive(project.root / "calc.tgz")
    return project


LOCAL = "local_archive(name = 'calc', src = 'calc.tgz', strip_prefix = 'calc-2', %s)\n"


def test_a_fetched_archive_is_a_folder(project: Project, tmp_path: Path) -> None:
    path = archive(tmp_path / "calc.tgz")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    project.write(
        {
            "p/BUILD": f"http_archive(name = 'calc', urls = ['{path.as_uri()}'],"
            f" sha256 = '{digest}', strip_prefix = 'calc-2', excludes = ['.*README'])\n"
        }
    )

    assert project.build("//p:calc").keys() == {
        "p/calc/include/calc/calc.h", "p/calc/src/calc.c", "p/calc/data/words.txt",
    }  # fmt: skip


def test_a_command_is_given_the_folder(calc: Project) -> None:
    rule = "genrule(name = 'g', srcs = [':calc'], outs = ['o'], cmd = 'cat $</data/* > $@')\n"
    calc.write({"BUILD": LOCAL % "" + rule})

    assert calc.text("//:g") == "words\n"


def test_files_in_it_are_targets_by_path_or_name(calc: Project) -> None:
    paths = "sub_targets = ['README', 'data/words.txt']"
    names = "sub_targets = {'words': ['data/words.txt']}"
    rule = "genrule(name = '%s', srcs = [%r], outs = ['%s.txt'], cmd = 'cat $(SRCS) > $@')\n"
    calc.write(
        {
            "BUILD": LOCAL % paths + rule % ("a", ":calc[data/words.txt]", "a"),
            "p/BUILD": "local_archive(name = 'calc', src = '//:calc.tgz', strip_prefix = 'calc-2',"
            + names + ")\n" + rule % ("b", ":calc[words]", "b"),
        }
    )  # fmt: skip

    assert calc.text("//:a") == "words\n"
    assert calc.text("//p:b") == "words\n"
    assert calc.text("//:calc[README]") == "read me\n"


def test_a_file_that_is_not_in_it_is_told(calc: Project) -> None:
    calc.write({"BUILD": LOCAL % "sub_targets = ['x.h']"})

    assert "it has no `x.h`" in calc.error("//:calc")


def test_a_cxx_library_is_made_of_its_files(calc: Project) -> None:
    rules = (
        "cxx_library(name = 'lib', srcs = [':calc[src/calc.c]'],"
        " exported_headers = {'calc/calc.h': ':calc[include/calc/calc.h]'},"
        " header_namespace = '')\n"
        "cxx_binary(name = 'main', srcs = ['main.cc'], deps = [':lib'])\n"
    )
    files = "sub_targets = ['src/calc.c', 'include/calc/calc.h']"
    main = MAIN.replace('#include "calc/calc.h"', 'extern "C" {\n#include "calc/calc.h"\n}')
    calc.write({"BUILD": LOCAL % files + rules, "main.cc": main})

    assert calc.run("//:main") == "42\n"


def test_a_whole_folder_of_headers_is_seen(calc: Project) -> None:
    rules = (
        "prebuilt_cxx_library(name = 'lib', header_dirs = [':calc[include]'], header_only = True)\n"
        "cxx_binary(name = 'main', srcs = ['main.c', 'calc.c'], deps = [':lib'])\n"
    )
    calc.write(
        {
            "BUILD": LOCAL % "sub_targets = ['include']" + rules,
            "main.c": MAIN,
            "calc.c": LIBRARY["calc-2/src/calc.c"],
        }
    )

    assert calc.run("//:main") == "42\n"


def test_its_files_are_data_of_a_program(calc: Project) -> None:
    main = (
        "import pathlib, sys\n"
        "print(pathlib.Path(__file__).with_name('calc').joinpath('data/words.txt').read_text())\n"
    )
    calc.write(
        {
            "BUILD": LOCAL % "" + "python_binary(name = 'p', main = 'main.py', data = [':calc'])\n",
            "main.py": main,
        }
    )

    assert calc.run("//:p").strip() == "words"


@pytest.mark.parametrize(
    ("start", "more"),
    [("a/", ""), ("", ""), ("x/y/", "patch_args = ['-p2']"), ("a/", "patch_strip = 1")],
)
def test_patches_change_it_in_order(calc: Project, start: str, more: str) -> None:
    def patch(old: str, new: str) -> str:
        names = f"--- {start}data/words.txt\n+++ {start.replace('a', 'b')}data/words.txt\n"
        return f"{names}@@ -1 +1 @@\n-{old}\n+{new}\n"

    calc.write(
        {
            "BUILD": LOCAL
            % f"sub_targets = ['data/words.txt'], patches = ['1.diff', '2.diff'], {more}",
            "1.diff": patch("words", "more"),
            "2.diff": patch("more", "most"),
        }
    )

    assert calc.text("//:calc[data/words.txt]") == "most\n"
    assert len(calc.build("//:calc")) == len(LIBRARY)


def test_commands_change_it_after_the_patches(calc: Project) -> None:
    calc.write({"BUILD": LOCAL % "patch_cmds = ['rm -r src', 'echo more >> data/words.txt']"})

    assert calc.text("//:calc", "calc/data/words.txt") == "words\nmore\n"
    assert "calc/src/calc.c" not in calc.build("//:calc")


def test_a_patch_that_does_not_fit_is_named(calc: Project) -> None:
    text = "--- a/README\n+++ b/README\n@@ -1 +1 @@\n-something else\n+new\n"
    calc.write({"BUILD": LOCAL % "patches = ['my.diff']", "my.diff": text})

    assert "my.diff does not fit" in calc.error("//:calc")
