"""Flags and tools: what they change is made anew, and going back makes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.examples.correctness.conftest import Workspace

FILES = {
    "p/BUILD": "config_setting(name = 'fancy', define_values = {'style': 'fancy'})\n"
    "config_setting(name = 'opt', values = {'compilation_mode': 'opt'})\n"
    "genrule(name = 'chosen', srcs = select({':fancy': ['fancy.txt'],\n"
    "    '//conditions:default': ['plain.txt']}), outs = ['chosen.out'], cmd = 'cat $< > $@')\n"
    "genrule(name = 'told', outs = ['told.out'], cmd = 'echo $(style) > $@'\n"
    "    if False else select({':opt': 'echo opt > $@', '//conditions:default': 'echo > $@'}))\n"
    "genrule(name = 'fixed', outs = ['fixed.out'], cmd = 'echo fixed > $@')\n"
    "cxx_library(name = 'native', srcs = ['n.cc'])\n"
    "python_binary(name = 'program', main = 'main.py', resources = [':chosen'])\n",
    "p/n.cc": "#ifdef NDEBUG\nint n = 1;\n#elif defined(MORE)\nint n = 2;\n#else\nint n = 3;\n"
    "#endif\n",
    "p/main.py": "print('main')\n",
    "p/fancy.txt": "fancy\n",
    "p/plain.txt": "plain\n",
}
FLAGS = [
    (), ("-c", "opt"), ("--copt=-DMORE",), ("--define", "style=fancy"), ("-c", "dbg"),
    ("-c", "opt", "--define", "style=fancy"), ("--cxxopt=-O1",), ("--linkopt=-Wl,-O1",),
]  # fmt: skip


def test_going_back_to_flags_makes_nothing_anew(workspace: Workspace) -> None:
    workspace.write(FILES)
    first = {}
    for flags in FLAGS:
        workspace.check(*flags, "//...")
        first[flags] = workspace.outputs()

    for flags in reversed(FLAGS):
        assert workspace.build(*flags, "//...") == 0
        assert workspace.outputs() == first[flags]


def test_flags_and_edits_alternate(workspace: Workspace) -> None:
    workspace.write(FILES)
    for number in range(3):
        for flags in FLAGS[number : number + 3]:
            workspace.write({"p/plain.txt": f"{number} {flags}\n", "p/fancy.txt": f"{number}\n"})
            workspace.build(*flags, "//p:program", "//p:native")
            workspace.check(*flags, "//...", "//p:program")


def test_what_flags_do_not_concern_is_not_made_again(workspace: Workspace) -> None:
    workspace.write(FILES)
    workspace.build("//...")

    assert workspace.build("--define", "style=fancy", "//...") == 1  # what chooses by it
    assert workspace.build("--copt=-DMORE", "//p:fixed", "//p:chosen") == 0


def test_flags_of_the_workspace_count(workspace: Workspace) -> None:
    workspace.write(FILES)
    for flags in ("", "'--copt=-DMORE'", "'-c', 'opt'", "'--define=style=fancy'", ""):
        workspace.write({"lamina.toml": f"[build]\nflags = [{flags}]\n"})
        workspace.check("//...")


def compiler(path: Path, version: str, word: str) -> None:
    """A compiler that says it is of some version, and compiles with a macro of its own."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        f"#!/bin/sh\n[ $1 = --version ] && echo {version} && exit\n"
        f'exec /usr/bin/{path.name} -D{word} "$@"\n'
    )
    path.chmod(0o755)


def test_another_compiler_compiles_anew(workspace: Workspace, tmp_path: Path) -> None:
    workspace.write(FILES)
    tools = tmp_path / "tools" / "bin"
    tools.parent.mkdir()
    compiler(tools / "g++", "one", "ONE")
    workspace.write({"lamina.toml": f"[cxx]\ncompiler = '{tools}/g++'\n"})
    assert workspace.compiled() == {"p/n.cc"}

    compiler(tools / "g++", "two", "MORE")
    assert workspace.compiled() == {"p/n.cc"}
    assert workspace.build() == 0

    compiler(tools / "g++", "one", "ONE")
    assert workspace.compiled() == set()

    workspace.write({"lamina.toml": ""})
    assert workspace.compiled() == {"p/n.cc"}


def test_a_link_to_a_compiler_may_lead_elsewhere(workspace: Workspace, tmp_path: Path) -> None:
    workspace.write(FILES)
    tools = tmp_path / "tools"
    tools.mkdir()
    compiler(tools / "one" / "g++", "one", "ONE")
    compiler(tools / "two" / "g++", "two", "MORE")
    (tools / "bin").mkdir()
    (tools / "bin/g++").symlink_to("../one/g++")
    workspace.write({"lamina.toml": f"[cxx]\ncompiler = '{tools}/bin/g++'\n"})
    workspace.check()

    (tools / "bin/g++").unlink()
    (tools / "bin/g++").symlink_to("../two/g++")

    assert workspace.compiled() == {"p/n.cc"}


def test_a_tool_that_comes_to_lie_in_front_is_taken(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.write(FILES)
    tools = tmp_path / "tools" / "bin"
    tools.mkdir(parents=True)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    workspace.check()

    compiler(tools / "g++", "in front", "MORE")
    assert workspace.compiled() == {"p/n.cc"}

    (tools / "g++").unlink()
    assert workspace.compiled() == set()


def test_an_interpreter_that_is_upgraded_compiles_anew(
    workspace: Workspace, tmp_path: Path
) -> None:
    workspace.write(FILES)
    python = tmp_path / "tools" / "bin" / "python3"
    python.parent.mkdir(parents=True)

    def upgrade(version: str) -> None:
        asked = f'/usr/bin/python3 "$@" | sed "s/3[.][0-9]*[.][0-9]*/{version}/"'
        python.write_text(
            f'#!/bin/sh\ncase "$*" in *sys.version*) {asked}; exit;; esac\n'
            'exec /usr/bin/python3 "$@"\n'
        )
        python.chmod(0o755)

    workspace.write({"lamina.toml": f"[python]\ninterpreter = '{python}'\n"})
    upgrade("3.11.77")
    workspace.check("//p:program")
    upgrade("3.11.78")

    assert workspace.check("//p:program") > 0
    assert workspace.build("//p:program") == 0
