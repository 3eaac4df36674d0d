"""`lamina run` and `lamina exec` stand aside: the program's input, output and end are its own."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Lamina = Callable[..., subprocess.CompletedProcess[str]]

_PROGRAM = """\
import os, pathlib, signal, sys
from import_me import WORD

what, *rest = sys.argv[1:]
if what == "say":
    print(*rest, WORD, sep="|")
    print("to stderr", file=sys.stderr)
elif what == "read":
    print(sys.stdin.read().upper(), end="")
elif what == "exit":
    sys.exit(int(rest[0]))
elif what == "signal":
    os.kill(os.getpid(), getattr(signal, rest[0]))
elif what == "environment":
    print(os.environ["GIVEN"], os.environ.get("FROM_OUTSIDE"))
elif what == "where":
    print(os.getcwd(), pathlib.Path(__file__).parent, sep="\\n")
elif what == "write":
    pathlib.Path(__file__).with_name("new").write_text("")
elif what == "data":
    print((pathlib.Path(__file__).parent / "data.txt").read_text(), end="")
"""
_BUILD = """\
python_binary(
    name = "program",
    srcs = ["program.py", "import_me.py"],
    resources = ["data.txt"],
    env = {"GIVEN": "by the BUILD file's $HOME"},
)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "workspace"
    root.mkdir()
    (root / "lamina.toml").write_text("")
    (root / "BUILD").write_text(_BUILD)
    (root / "program.py").write_text(_PROGRAM)
    (root / "import_me.py").write_text("WORD = 'imported'\n")
    (root / "data.txt").write_text("data\n")
    return root


def test_arguments_and_both_outputs(lamina: Lamina, root: Path) -> None:
    done = lamina(root, "run", "//:program", "--", "say", "two words", "--help", "*", "")

    assert done.stdout == "two words|--help|*||imported\n"
    assert done.stderr.endswith("to stderr\n")
    assert done.returncode == 0


def test_input(lamina: Lamina, root: Path) -> None:
    done = lamina(root, "run", "//:program", "--", "read", given="hello\nthere\n")

    assert done.stdout == "HELLO\nTHERE\n"


@pytest.mark.parametrize("code", [0, 1, 42, 125, 255])
def test_exit_code(lamina: Lamina, root: Path, code: int) -> None:
    assert lamina(root, "run", "//:program", "--", "exit", str(code)).returncode == code


def test_exit_code_of_exec(lamina: Lamina, root: Path, tmp_path: Path) -> None:
    lamina(root, "package", "//:program")

    assert lamina(tmp_path, "exec", "program", "--", "exit", "42").returncode == 42


@pytest.mark.parametrize(("name", "number"), [("SIGTERM", 15), ("SIGKILL", 9)])
def test_death_by_signal(lamina: Lamina, root: Path, name: str, number: int) -> None:
    done = lamina(root, "run", "//:program", "--", "signal", name)

    # Whether lamina is the program by now or waits for it: a shell shows both as 128 + number.
    assert done.returncode in (-number, 128 + number)


def test_environment(lamina: Lamina, root: Path) -> None:
    given = {"FROM_OUTSIDE": "yes"}

    done = lamina(root, "run", "//:program", "--", "environment", environment=given)

    assert done.stdout == "by the BUILD file's $HOME yes\n"


def test_the_working_folder_is_kept_and_the_package_root_is_its_own(
    lamina: Lamina, root: Path
) -> None:
    done = lamina(root, "run", "//:program", "--", "where")

    folder, package = done.stdout.splitlines()
    assert folder == str(root)
    assert package.startswith("/packages/program-")


def test_data_lies_beside_the_module(lamina: Lamina, root: Path) -> None:
    assert lamina(root, "run", "//:program", "--", "data").stdout == "data\n"


def test_the_package_root_cannot_be_written(lamina: Lamina, root: Path) -> None:
    done = lamina(root, "run", "//:program", "--", "write")

    assert done.returncode == 1
    assert "Read-only file system" in done.stderr


def test_nothing_is_left_mounted(lamina: Lamina, root: Path) -> None:
    lamina(root, "run", "//:program", "--", "exit", "0")

    assert "/packages/program-" not in Path("/proc/self/mountinfo").read_text()


def test_the_program_of_a_failed_build_is_not_started(lamina: Lamina, root: Path) -> None:
    (root / "import_me.py").write_text("WORD = \n")

    done = lamina(root, "run", "//:program", "--", "exit", "0")

    assert done.returncode == 125
    assert "SyntaxError: invalid syntax" in done.stderr
