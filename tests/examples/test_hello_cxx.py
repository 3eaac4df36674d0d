"""A C++ program over two libraries, one written for Buck and one for Bazel."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Lamina = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def hello(copy_of: Callable[..., Path]) -> Path:
    return copy_of("hello-cxx")


def test_the_program_runs_with_its_arguments(lamina: Lamina, hello: Path) -> None:
    done = lamina(hello, "run", "//:hello", "--", "Ada", "Grace")

    assert (done.returncode, done.stdout) == (0, "HELLO, ADA!\nHELLO, GRACE!\n"), done.stderr


def test_each_library_is_a_layer_below_the_program(lamina: Lamina, hello: Path) -> None:
    package = json.loads(lamina(hello, "package", "--json", "//:hello").stdout)

    labels = [layer["label"] for layer in package["layers"]]
    assert labels == ["//greeting:greeting", "//shouting:shouting", "//:hello"]


def test_the_built_program_runs_from_the_output_folder(lamina: Lamina, hello: Path) -> None:
    built = lamina(hello, "build", "//...")

    where = dict(line.split() for line in built.stdout.splitlines())["//:hello"]
    done = subprocess.run([hello / where], capture_output=True, text=True, check=False)
    assert done.stdout == "Hello, world\n", done.stderr


def test_a_changed_library_leaves_the_other_layers_alone(lamina: Lamina, hello: Path) -> None:
    lamina(hello, "run", "//:hello")
    source = hello / "greeting" / "greeting.cc"
    source.write_text(source.read_text().replace('"Hello, "', '"Good day, "'))

    again = lamina(hello, "run", "//:hello")

    assert again.stdout == "Good day, world\n"
    assert "1 layer made, 2 reused; " in again.stderr


def test_a_changed_header_is_compiled_by_all_who_see_it(lamina: Lamina, hello: Path) -> None:
    lamina(hello, "build", "//...")
    header = hello / "greeting" / "greeting.h"
    header.write_text(header.read_text() + "// more\n")

    again = lamina(hello, "build", "//...")

    assert "CxxCompile greeting/greeting.cc" in again.stderr
    assert "CxxCompile hello.cc" in again.stderr
    assert "CxxCompile shouting/shouting.cc" not in again.stderr
