"""What would use up the stack of the interpreter is told of; what people write is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lamina.build import nesting
from lamina.build.faults import FaultReport

ROOT = Path(__file__).parents[3]
DEEP = {
    "signs": "x = " + "-" * 100_000 + "1",
    "not": "x = " + "not " * 50_000 + "1",
    "a sum": "x = 1" + "+1" * 100_000,
    "a sum of lists": "x = [1, 2]" + " + [1, 2]" * 50_000,
    "fields": "x = a" + ".a" * 100_000,
    "indexes": "x = a" + "[0]" * 50_000,
    "calls": "x = a" + "(1, 2)" * 50_000,
    "lambdas": "x = " + "lambda: " * 50_000 + "1",
    "lambdas of two": "x = " + "lambda a, b: " * 50_000 + "1",
    "conditions": "x = " + "1 if 1 else " * 50_000 + "1",
    "or": "x = 1" + " or 1" * 50_000,
    "lists": "x = " + "[" * 50_000 + "]" * 50_000,
    "lists with more": "x = " + "[1, " * 50_000 + "]" * 50_000,
    "open lists": "[" * 100_000,
    "calls in calls": "x = " + "f('a', " * 50_000,
    "strings between": "x = 'a'" + " + 'a,b'" * 50_000,
    "lines": "x = (1\n" + " + 1\n" * 50_000 + ")",
    "branches": "def f():\n  if 1:\n    pass\n" + "  elif 1:\n    pass\n" * 20_000,
    "blocks": "def f():\n" + "".join(" " * i + "if 1:\n" for i in range(1, 3000)),
}
SHALLOW = {
    "many files": "x = [\n" + "    'a-b.c/d.cc',\n" * 50_000 + "]\n",
    "many rules": "f(name = 'a', x = ['b'] + ['c'], y = {'d': -1})\n" * 20_000,
    "many statements in a function": "def f():\n" + "    x = a.b(c) + [d, -1]\n" * 5000,
    "a long string": "x = '" + "-+([{" * 20_000 + "'\n",
    "a long comment": "# " + "-+([{" * 20_000 + "\nx = 1\n",
    "a long text": 'x = """' + "-+([{ not\n" * 20_000 + '"""\n',
    "a dict of lists": "x = {\n" + "    'a': ['b', -1] + ['c'],\n" * 5000 + "}\n",
    "a sum of a hundred": "x = (\n" + "    'a' +\n" * 100 + "    'b')\n",
}


@pytest.mark.parametrize("name", DEEP)
def test_what_is_too_deep_is_told_with_its_place(name: str) -> None:
    with pytest.raises(FaultReport, match=r"p/BUILD:2: more than 500 .* lie in each other"):
        nesting.check("p/BUILD", f"y = 1\n{DEEP[name]}\n")


@pytest.mark.parametrize("name", SHALLOW)
def test_what_is_long_alone_is_not(name: str) -> None:
    nesting.check("p/BUILD", SHALLOW[name])


def test_all_files_of_the_examples_are_shallow() -> None:
    for file in (ROOT / "examples").rglob("*"):
        if file.name in ("BUILD", "BUILD.bazel", "BUCK") or file.suffix == ".bzl":
            nesting.check(str(file), file.read_text())


@pytest.mark.parametrize("name", DEEP)
def test_lamina_says_so_and_does_not_die(name: str, tmp_path: Path) -> None:
    (tmp_path / "lamina.toml").write_text("")
    (tmp_path / "BUILD").write_text(f"{DEEP[name]}\n")

    done = subprocess.run(
        [sys.executable, "-m", "lamina.cli", "targets"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={"LAMINA_STORE": str(tmp_path / "store"), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip

    assert done.returncode == 3, done.stderr[-500:]
    assert "BUILD:1: more than 500" in done.stderr


@pytest.mark.parametrize("name", DEEP)
def test_just_what_is_allowed_is_borne_by_the_interpreter(name: str, tmp_path: Path) -> None:
    text = DEEP[name]
    for length in (1800, 6000):
        (tmp_path / "lamina.toml").write_text("")
        (tmp_path / "BUILD").write_text(text[:length] + "\n")

        done = subprocess.run(
            [sys.executable, "-m", "lamina.cli", "targets"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
            env={"LAMINA_STORE": str(tmp_path / "store"), "PATH": "/usr/bin:/bin"},
        )  # fmt: skip

        assert done.returncode in (0, 3), (done.returncode, done.stderr[-500:])
