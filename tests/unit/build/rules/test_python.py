"""Python targets: built, laid out as a package root, and run by the system's interpreter."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Protocol

import pytest

PUBLIC = "package(default_visibility = ['//visibility:public'])\n"


class Project(Protocol):
    root: Path

    def write(self, files: dict[str, str]) -> None: ...
    def error(self, label: str) -> str: ...
    def package(self, label: str, at: Path | None = None) -> Path: ...
    def run(self, label: str, *arguments: str) -> str: ...


def files(launcher: Path) -> set[str]:
    """The files of a package root, without what only lamina needs."""
    root = launcher.parent
    found = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    return {path for path in found if "__pycache__" not in path and ".lamina" not in path}


def binary(more: str = "") -> str:
    return f"python_binary(name = 'm', srcs = ['m.py'], {more})\n"


def test_modules_lie_at_the_path_of_their_build_package(project: Project) -> None:
    project.write(
        {
            "a/b/BUILD": binary("deps = ['//c']"),
            "a/b/m.py": "import c.lib\nprint(__name__, c.lib.__name__, __spec__.name)\n",
            "c/BUILD": PUBLIC + "py_library(name = 'c', srcs = ['lib.py'])",
            "c/lib.py": "",
        }
    )

    assert project.run("//a/b:m") == "__main__ c.lib a.b.m\n"
    assert files(project.package("//a/b:m")) == {"m", "a/b/m.py", "c/lib.py"}


def test_a_program_called_like_its_folder_has_another_launcher(project: Project) -> None:
    project.write(
        {
            "m/BUILD": binary("deps = [':lib']")
            + "python_library(name = 'lib', srcs = ['lib.py'])",
            "m/m.py": "import m.lib\nprint(m.lib.__name__)\n",
            "m/lib.py": "",
        }
    )

    assert project.run("//m:m") == "m.lib\n"
    assert files(project.package("//m:m")) == {"m.sh", "m/m.py", "m/lib.py"}


def test_a_program_of_modules_that_lie_elsewhere_keeps_its_name(project: Project) -> None:
    project.write({"m/BUILD": binary("base_module = ''"), "m/m.py": "print(__spec__.name)\n"})

    assert project.run("//m:m") == "m\n"
    assert files(project.package("//m:m")) == {"m", "m.py"}


@pytest.mark.parametrize(("base", "name"), [("", "lib"), ("x", "x.lib"), ("x.y", "x.y.lib")])
def test_base_module_stands_in_place_of_the_build_package(
    project: Project, base: str, name: str
) -> None:
    project.write(
        {
            "p/BUILD": binary("deps = [':lib']")
            + f"python_library(name = 'lib', base_module = '{base}', srcs = ['lib.py'])",
            "p/m.py": f"import {name}\nprint({name}.__name__)\n",
            "p/lib.py": "",
        }
    )

    assert project.run("//p:m") == f"{name}\n"


def test_sources_may_be_put_elsewhere_by_a_dict(project: Project) -> None:
    project.write(
        {
            "p/BUILD": binary("deps = [':lib']")
            + "python_library(name = 'lib', srcs = {'new/name.py': 'old.py'},"
            + " resources = {'new/data.txt': 'd.txt'})",
            "p/m.py": "import p.new.name\nprint(p.new.name.__file__[-13:])\n",
            "p/old.py": "",
            "p/d.txt": "",
        }
    )

    assert project.run("//p:m") == "p/new/name.py\n"
    assert files(project.package("//p:m")) == {"m", "p/m.py", "p/new/name.py", "p/new/data.txt"}


@pytest.mark.parametrize(
    "attributes",
    [
        "srcs = ['m.py', 'other.py']",
        "srcs = ['start.py', 'other.py'], main = 'start.py'",
        "srcs = ['other.py'], main = 'start.py'",
        "srcs = ['start.py']",
        "srcs = ['start.py', 'other.py'], main_module = 'p.start'",
        "deps = [':lib'], main_module = 'p.start'",
        "deps = [':lib'], main_function = 'p.call.begin'",
    ],
)
def test_every_way_to_say_what_is_run(project: Project, attributes: str) -> None:
    project.write(
        {
            "p/BUILD": f"python_binary(name = 'm', {attributes})\n"
            "py_library(name = 'lib', srcs = ['start.py', 'call.py', 'other.py'])",
            "p/m.py": "print('begun')",
            "p/start.py": "print('begun')",
            "p/call.py": "def begin():\n    print('begun')\n",
            "p/other.py": "print('other')",
        }
    )

    assert project.run("//p:m") == "begun\n"


@pytest.mark.parametrize(("value", "expected"), [("None", 0), ("3", 3), ("'wrong'", 1)])
def test_a_function_gives_the_exit_code(project: Project, value: str, expected: int) -> None:
    project.write(
        {
            "BUILD": "python_binary(name = 'm', srcs = ['x.py'], main_function = 'x.f')",
            "x.py": f"def f():\n    return {value}\n",
        }
    )

    done = subprocess.run([project.package("//:m")], capture_output=True, check=False)

    assert done.returncode == expected


def test_a_program_knows_itself(project: Project) -> None:
    project.write(
        {
            "p/BUILD": binary(),
            "p/m.py": '''"""Not the launcher's own words."""
import sys
print(__name__, __spec__.name, __package__, __doc__)
print(__file__ == sys.argv[0] == __spec__.origin, sys.argv[1:])
print([name for name in vars() if not name.startswith("__")])
''',
        }
    )

    printed = project.run("//p:m", "a b", "", "--x").splitlines()

    assert printed == [
        "__main__ p.m p Not the launcher's own words.",
        "True ['a b', '', '--x']",
        "['sys']",
    ]


def test_resources_are_read_through_importlib(project: Project) -> None:
    project.write(
        {
            "p/BUILD": binary("resources = ['d/data.txt', ':g', ':f']")
            + "genrule(name = 'g', outs = ['gen.txt'], cmd = 'echo -n made > $@')\n"
            + "filegroup(name = 'f', srcs = ['f.txt'])",
            "p/d/data.txt": "data",
            "p/f.txt": "grouped",
            "p/m.py": """
from importlib.resources import files
for name in ("d/data.txt", "gen.txt", "f.txt"):
    print(files("p").joinpath(name).read_text())
""",
        }
    )

    assert project.run("//p:m").split() == ["data", "made", "grouped"]


def test_resources_of_another_build_package_keep_their_path(project: Project) -> None:
    project.write(
        {
            "p/BUILD": binary("data = ['//q:d.txt']"),
            "p/m.py": "",
            "q/BUILD": "exports_files(['d.txt'])",
            "q/d.txt": "",
        }
    )

    assert "q/d.txt" in files(project.package("//p:m"))


def test_a_native_program_among_the_resources_comes_whole(project: Project) -> None:
    project.write(
        {
            "BUILD": binary("resources = [':tool']")
            + "cc_binary(name = 'tool', srcs = ['t.c'], deps = [':lib'])\n"
            + "cc_library(name = 'lib', srcs = ['l.c'])",
            "t.c": '#include <stdio.h>\nint l(void);\nint main(void) { printf("%d\\n", l()); }\n',
            "l.c": "int l(void) { return 8; }\n",
            "m.py": "import subprocess, sys\nsubprocess.run([sys.path[0] + '/tool'], check=True)\n",
        }
    )

    assert project.run("//:m") == "8\n"


def test_imports_are_roots_for_all_who_depend_on_it(project: Project) -> None:
    project.write(
        {
            "p/BUILD": binary("deps = [':above'], imports = ['own']")
            + "py_library(name = 'above', deps = [':lib'])\n"
            + "py_library(name = 'lib', srcs = ['src/lib.py', 'here.py'], imports = ['src', '.'])",
            "p/src/lib.py": "",
            "p/here.py": "",
            "p/m.py": "import lib, here\nprint(lib.__file__[-12:], here.__file__[-10:])\n",
        }
    )

    assert project.run("//p:m") == "p/src/lib.py /p/here.py\n"


def test_generated_modules_are_imported(project: Project) -> None:
    project.write(
        {
            "p/BUILD": binary("deps = [':lib']")
            + "genrule(name = 'g', outs = ['sub/gen.py'], cmd = 'echo word = 5 > $@')\n"
            + "py_library(name = 'lib', srcs = [':g'])",
            "p/m.py": "from p.sub import gen\nprint(gen.word)\n",
        }
    )

    assert project.run("//p:m") == "5\n"


def test_compiled_files_are_never_checked_against_their_source(project: Project) -> None:
    project.write({"p/BUILD": binary(), "p/m.py": "print('compiled')"})

    launcher = project.package("//p:m")

    compiled = next((launcher.parent / "p/__pycache__").iterdir())
    magic, flags = compiled.read_bytes()[:4], compiled.read_bytes()[4:8]
    assert flags == b"\x01\0\0\0"  # PEP 552: hash-based, not to be checked
    assert re.fullmatch(r"m\.cpython-3\d+\.pyc", compiled.name)
    if f".{importlib.util.cache_from_source('m.py').split('.')[-2]}." in compiled.name:
        assert magic == importlib.util.MAGIC_NUMBER


def test_compiled_files_are_what_runs(project: Project) -> None:
    project.write(
        {
            "p/BUILD": binary("srcs = ['m.py', 'lib.py']").replace("srcs = ['m.py'], ", ""),
            "p/m.py": "from p import lib\nprint('compiled', lib.word)",
            "p/lib.py": "word = 'compiled'",
        }
    )
    launcher = project.package("//p:m")

    for name in ("m.py", "lib.py"):
        (launcher.parent / "p" / name).write_text("edited, and no Python any more")

    assert subprocess.run([launcher], capture_output=True, check=True).stdout == (
        b"compiled compiled\n"
    )


def test_a_traceback_names_the_files_where_they_lie(project: Project) -> None:
    project.write({"p/BUILD": binary(), "p/m.py": "\nraise ValueError('x')\n"})
    launcher = project.package("//p:m")

    done = subprocess.run([launcher], capture_output=True, text=True, check=False)

    assert f'File "{launcher.parent}/p/m.py", line 2, in <module>' in done.stderr
    assert "raise ValueError" in done.stderr


def test_nothing_of_the_machine_is_imported(project: Project, tmp_path: Path) -> None:
    (tmp_path / "leak.py").touch()
    project.write({"BUILD": binary(), "m.py": "import sys, json\nprint(json.dumps(sys.path))\n"})
    launcher = project.package("//:m")

    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONHOME": "/nowhere"}
    done = subprocess.run(
        [launcher], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )

    root = str(launcher.parent)
    assert not re.search(r"dist-packages|/lib/python[\d.]*/site-packages", done.stdout)
    assert f'["{root}", "{root}/site-packages", ' in done.stdout
    assert f'"{tmp_path}"' not in done.stdout


@pytest.mark.parametrize("variable", ["PYTHONSAFEPATH", "PYTHONNOUSERSITE", "PYTHONOPTIMIZE"])
def test_the_interpreters_switches_do_no_harm(project: Project, variable: str) -> None:
    project.write(
        {
            "p/BUILD": binary("deps = [':lib']") + "py_library(name = 'lib', srcs = ['lib.py'])",
            "p/m.py": "import p.lib\nprint('ran')\n",
            "p/lib.py": "",
        }
    )
    environment = {**os.environ, variable: "1"}

    done = subprocess.run(
        [project.package("//p:m")], env=environment, capture_output=True, text=True, check=False
    )

    assert (done.stdout, done.stderr) == ("ran\n", "")


def test_a_program_starts_with_the_modules_of_a_bare_interpreter(project: Project) -> None:
    seen = "sorted(name for name in sys.modules if not name.startswith('_'))"
    text = f"import sys\nprint(sys.executable, *{seen})\n"
    project.write({"BUILD": binary(), "m.py": text})

    told = project.run("//:m")

    python = told.split(" ", maxsplit=1)[0]
    assert told == subprocess.check_output([python, "-sS", "-c", text], text=True)


def test_a_program_has_the_builtins_of_site(project: Project) -> None:
    shown = "import sys\nprint(sys.executable, quit, help)\n"
    project.write({"BUILD": binary(), "m.py": shown + "exit('bye')\n"})
    launcher = project.package("//:m")

    done = subprocess.run([launcher], capture_output=True, text=True, check=False)

    python = done.stdout.split(" ", maxsplit=1)[0]
    assert done.stdout == subprocess.check_output([python, "-c", shown], text=True)
    assert (done.returncode, done.stderr) == (1, "bye\n")


SPAWN = """
import multiprocessing

def double(number):
    return number * 2

def begin():
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        print(pool.map(double, [1, 2]))

if __name__ == "__main__":
    begin()
"""


@pytest.mark.parametrize(
    "how", ["main = 'm.py'", "main_module = 'p.m'", "main_function = 'p.m.begin'"]
)
def test_multiprocessing_spawns_from_a_package(project: Project, how: str) -> None:
    project.write({"p/BUILD": binary(how), "p/m.py": SPAWN})

    done = subprocess.run(
        [project.package("//p:m")], capture_output=True, text=True, check=False, timeout=60
    )

    assert (done.stdout, done.stderr) == ("[2, 4]\n", "")


def test_a_program_has_its_environment(project: Project) -> None:
    project.write(
        {
            "BUILD": binary("env = {'A': \"it's $HOME\"}"),
            "m.py": "import os\nprint(os.environ['A'])\n",
        }
    )

    assert project.run("//:m") == "it's $HOME\n"


@pytest.fixture
def launcher(project: Project, tmp_path: Path) -> Path:
    """A program that prints its arguments and where its modules lie."""
    project.write(
        {
            "p/BUILD": binary("deps = [':lib']") + "py_library(name = 'lib', srcs = ['lib.py'])",
            "p/m.py": "import sys, p.lib\nprint(p.lib.__file__, sys.argv[1:])\n",
            "p/lib.py": "",
        }
    )
    return project.package("//p:m", tmp_path / "some where")


def lib(launcher: Path, *arguments: str) -> str:
    return f"{launcher.parent}/p/lib.py {list(arguments)}\n"


def started(*command: Path | str, cwd: Path | None = None, **environment: str) -> str:
    full = {**os.environ, **environment}
    done = subprocess.run(command, cwd=cwd, env=full, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_launcher_is_started_by_its_absolute_path(launcher: Path) -> None:
    assert started(launcher, "x") == lib(launcher, "x")


@pytest.mark.parametrize("word", ["./m", "../some where/m"])
def test_a_launcher_is_started_by_a_relative_path(launcher: Path, word: str) -> None:
    printed = started("/bin/sh", "-c", '"$1" x', "sh", word, cwd=launcher.parent)

    assert printed.endswith("/p/lib.py ['x']\n")


def test_a_launcher_is_started_from_path(launcher: Path, tmp_path: Path) -> None:
    search = f"{launcher.parent}:{os.environ['PATH']}"

    assert started("/bin/sh", "-c", "m x", PATH=search, cwd=tmp_path) == lib(launcher, "x")


def test_a_launcher_is_started_through_links(launcher: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/direct").symlink_to(launcher)
    (tmp_path / "bin/again").symlink_to("direct")

    assert started(tmp_path / "bin/again", "x") == lib(launcher, "x")


def test_a_launcher_is_started_by_a_shell_that_stands_beside_it(launcher: Path) -> None:
    assert started("/bin/sh", "-e", "m", "x", cwd=launcher.parent) == lib(launcher, "x")


@pytest.fixture
def some_xar(tmp_path: Path) -> Path:
    path = tmp_path / "some file.xar"
    path.write_bytes(b'#!/usr/bin/env xarexec_fuse\nOFFSET="4096"\n')
    return path


def test_xarexec_starts_a_launcher_with_the_file_first(launcher: Path, some_xar: Path) -> None:
    printed = started("/bin/sh", "-e", launcher, some_xar, "a b", "")

    assert printed == lib(launcher, "a b", "")


def test_a_xar_is_an_argument_like_others_without_xarexec(launcher: Path, some_xar: Path) -> None:
    # Also in a program that xarexec has started, which has the variable from there.
    printed = started(launcher, str(some_xar), XAREXEC_LAUNCH_TIMESTAMP="1")

    assert printed == lib(launcher, str(some_xar))


def test_a_file_that_is_no_xar_is_an_argument(launcher: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("text")

    for path in (str(plain), str(tmp_path), str(tmp_path / "absent")):
        assert started("/bin/sh", "-e", launcher, path) == lib(launcher, path)


def test_an_interpreter_that_is_not_there_is_told(launcher: Path, tmp_path: Path) -> None:
    text = launcher.read_text()
    launcher.write_text(re.sub(r"/\S*/python3", "/nowhere/python3", text))
    environment = {"PATH": str(tmp_path / "empty")}

    done = subprocess.run([launcher], env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 127
    assert re.fullmatch(
        r"m: this program needs python3\.\d+, which is not on this machine\n", done.stderr
    )


def test_an_interpreter_can_be_put_in_its_place(launcher: Path, tmp_path: Path) -> None:
    stand_in = tmp_path / "stand in"
    stand_in.write_text("#!/bin/sh\necho stand-in $1\n")
    stand_in.chmod(0o755)

    assert started(launcher, LAMINA_PYTHON=str(stand_in)) == "stand-in -sS\n"


def test_a_package_root_can_be_copied(launcher: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.move(launcher.parent, moved)

    assert started(moved / "m") == lib(moved / "m")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("py_library(name = 'x', srcs = ['d.txt'])", "`d.txt` in `srcs` is not a Python file"),
        ("py_binary(name = 'x', srcs = ['a.py', 'b.py'])", "it does not say what to run"),
        ("py_binary(name = 'x')", "it does not say what to run"),
        ("py_library(name = 'x', srcs = ['a.py'], base_module = '..')", "is not a Python package"),
        ("py_library(name = 'x', data = ['d.txt'], base_module = 'a..b')", "not a Python package"),
        ("cc_library(name = 'x', srcs = ['c.c'], soname = '../x.so')", "would lie outside"),
        ("cc_library(name = 'x', deps = [':l'])\npy_library(name = 'l')", "not a C or C++ library"),
        (
            "py_library(name = 'x', deps = [':g'])\ngenrule(name = 'g', outs = ['o'], cmd = 'x')",
            "no library",
        ),
    ],
)
def test_a_target_that_makes_no_sense_is_told(project: Project, rule: str, expected: str) -> None:
    project.write({"p/BUILD": rule, "p/a.py": "", "p/b.py": "", "p/d.txt": "", "p/c.c": ""})

    words = project.error("//p:x")

    assert "p/BUILD:1:" in words
    assert "`//p:x`: " in words
    assert expected in words


def test_a_syntax_error_is_told_with_its_place(project: Project) -> None:
    project.write(
        {
            "p/BUILD": "py_library(name = 'x', srcs = ['a.py', 'b.py'])",
            "p/a.py": "1 +\n",
            "p/b.py": "(",
        }
    )

    words = project.error("//p:x")

    assert words.startswith("`//p:x`: PyCompile //p:x failed with exit code 1")
    assert 'File "p/a.py", line 1' in words
    assert 'File "p/b.py", line 1' in words


def test_libraries_can_be_loaded_before_all_others(project: Project) -> None:
    project.write(
        {
            "BUILD": binary("preload_deps = [':one', ':two']")
            + "cxx_library(name = 'one', srcs = ['one.c'])\n"
            + "cxx_library(name = 'two', srcs = ['two.c'])",
            "one.c": "int getpid(void) { return 8; }\n",
            "two.c": "int getpid(void) { return 9; }\nint getppid(void) { return 9; }\n",
            "m.py": "import os\nprint(os.getpid(), os.getppid())\n",
        }
    )

    assert project.run("//:m") == "8 9\n"


def test_a_program_has_its_arguments_first(project: Project) -> None:
    project.write(
        {
            "BUILD": binary("args = ['one', '$(location d.txt)'], data = ['d.txt']"),
            "d.txt": "data",
            "m.py": "import sys\nprint(sys.argv[1], open(sys.argv[2]).read(), sys.argv[3:])\n",
        }
    )

    assert project.run("//:m", "x") == "one data ['x']\n"


def test_stubs_lie_beside_the_modules(project: Project) -> None:
    project.write(
        {
            "p/BUILD": binary("type_stubs = ['m.pyi'], pyi_deps = [], precompile = 'disabled'"),
            "p/m.py": "",
            "p/m.pyi": "",
        }
    )

    assert files(project.package("//p:m")) == {"m", "p/m.py", "p/m.pyi"}


@pytest.mark.parametrize(
    "attributes", ["package_style = 'standalone'", "stamp = 1", "zip_safe = 0"]
)
def test_attributes_that_change_nothing_here_are_taken(project: Project, attributes: str) -> None:
    project.write({"BUILD": binary(attributes), "m.py": "print('ran')"})

    assert project.run("//:m") == "ran\n"


def test_modules_of_a_cell_are_imported_from_its_root(project: Project) -> None:
    project.write(
        {
            "lamina.toml": "[cells]\nother = 'third_party/other'\n",
            "BUILD": binary("deps = ['@other//lib']"),
            "m.py": "import lib.a\nfrom importlib.resources import files\n"
            "print(lib.a.word, files('lib').joinpath('d.txt').read_text())\n",
            "third_party/other/lib/BUILD": PUBLIC
            + "py_library(name = 'lib', srcs = ['a.py', '//more:b.py'], data = ['d.txt'])",
            "third_party/other/lib/a.py": "from more.b import word\n",
            "third_party/other/lib/d.txt": "data",
            "third_party/other/more/BUILD": "exports_files(['b.py'])",
            "third_party/other/more/b.py": "word = 'found'\n",
        }
    )

    assert project.run("//:m") == "found data\n"
    assert "third_party/other/lib/d.txt" in files(project.package("//:m"))


def test_a_test_of_modules_runs_as_a_program_too(project: Project) -> None:
    project.write(
        {
            "p/BUILD": "python_test(name = 'x_test', srcs = ['a.py', 'b.py'])",
            "p/a.py": "import unittest\nclass A(unittest.TestCase):\n    def test(self): pass\n",
            "p/b.py": "import unittest\nclass B(unittest.TestCase):\n    def test(self): pass\n",
        }
    )

    done = subprocess.run(
        [project.package("//p:x_test"), "-v"], capture_output=True, text=True, check=True
    )

    assert "Ran 2 tests" in done.stderr
    assert "p.a.A.test" in done.stderr
