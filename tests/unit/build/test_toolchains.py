"""Toolchains: found where `lamina.toml` says, the same where they say the same of themselves."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lamina.build.toolchains import Toolchains
from lamina.build.workspace import Workspace
from lamina.core.errors import UserError
from lamina.linux.versions import ToolVersions


def toolchains(tmp_path: Path, **settings: str) -> Toolchains:
    workspace = Workspace(root=tmp_path, name="w", **settings)  # type: ignore[arg-type]
    return Toolchains(workspace, ToolVersions(tmp_path / "tools.json"))


def compiler(path: Path, version: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {version}\n")
    path.chmod(0o755)
    return str(path)


def test_the_systems_compilers_are_called_by_their_names(tmp_path: Path) -> None:
    found = toolchains(tmp_path, c_compiler="/usr/bin/gcc", cxx_compiler="/usr/bin/g++").cxx

    assert (found.c, found.cxx, found.mounts) == ("gcc", "g++", ())


def test_the_identity_of_a_compiler_is_its_version(tmp_path: Path) -> None:
    version = subprocess.run(["gcc", "--version"], capture_output=True, text=True, check=True)

    assert version.stdout.splitlines()[0] in toolchains(tmp_path).cxx.identity


def test_another_version_is_another_compiler_and_another_place_is_not(tmp_path: Path) -> None:
    tools = [
        compiler(tmp_path / "here/bin/c++", "cc 13"),
        compiler(tmp_path / "there/bin/c++", "cc 13"),
        compiler(tmp_path / "new/bin/c++", "cc 14"),
    ]

    here, there, new = (toolchains(tmp_path, cxx_compiler=tool).cxx.identity for tool in tools)

    assert here == there
    assert here != new


def test_a_compiler_that_was_updated_in_place_is_noticed(tmp_path: Path) -> None:
    tool = compiler(tmp_path / "bin/c++", "cc 13")
    before = toolchains(tmp_path, cxx_compiler=tool).cxx.identity
    compiler(tmp_path / "bin/c++", "cc number 14")

    assert toolchains(tmp_path, cxx_compiler=tool).cxx.identity != before


def test_a_compiler_of_another_folder_is_shown_to_actions(tmp_path: Path) -> None:
    tool = compiler(tmp_path / "own/bin/c++", "cc 13")

    found = toolchains(tmp_path, cxx_compiler=tool).cxx

    assert found.cxx == tool
    assert found.mounts == (str(tmp_path / "own"),)


def test_the_systems_python_is_taken(tmp_path: Path) -> None:
    ask = ["/usr/bin/python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    version = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()

    found = toolchains(tmp_path).python

    assert (found.path, found.version) == ("/usr/bin/python3", version)
    assert found.tag == f"cpython-{version.replace('.', '')}"


def test_a_tool_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="`no-such-compiler` is not on this machine"):
        _ = toolchains(tmp_path, cxx_compiler="no-such-compiler").cxx


def test_the_programs_that_were_asked_are_on_record(tmp_path: Path) -> None:
    found = toolchains(tmp_path)
    _ = found.python

    assert found.files == {"/usr/bin/python3"}


def test_the_c_compiler_beside_a_named_cxx_compiler_is_taken(tmp_path: Path) -> None:
    compiler(tmp_path / "bin/clang-15", "clang 15")
    tool = compiler(tmp_path / "bin/clang++-15", "clang 15")

    assert toolchains(tmp_path, cxx_compiler=tool).cxx.c == str(tmp_path / "bin/clang-15")


def test_a_cxx_compiler_without_one_for_c_goes_with_the_systems(tmp_path: Path) -> None:
    tool = compiler(tmp_path / "bin/g++-15", "gcc 15")

    assert toolchains(tmp_path, cxx_compiler=tool).cxx.c == "gcc"


def test_the_archiver_can_be_named_and_is_part_of_the_identity(tmp_path: Path) -> None:
    tool = compiler(tmp_path / "bin/llvm-ar", "ar 99")

    found = toolchains(tmp_path, archiver=tool).cxx

    assert found.archiver == tool
    assert "ar 99" in found.identity
