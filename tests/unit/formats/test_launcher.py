"""Launchers as text that a POSIX shell runs; programs in Python are run in rules/test_python.py."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lamina.formats.launcher import native_launcher, plain_python, python_launcher

ECHO = b"""#!/bin/sh
echo "$0 $#"; for word in "$@"; do echo "<$word>"; done; echo "$A"
"""


@pytest.fixture
def launcher(tmp_path: Path) -> Path:
    root = tmp_path / "it's a root"
    (root / "bin").mkdir(parents=True)
    (root / "bin/tool").write_bytes(ECHO)
    (root / "tool").write_bytes(native_launcher("bin/tool", {"A": "$x 'y'"}))
    for path in ("bin/tool", "tool"):
        (root / path).chmod(0o755)
    return root / "tool"


def printed(*command: str | Path, **environment: str) -> list[str]:
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_a_program_gets_its_arguments_and_environment(launcher: Path) -> None:
    lines = printed(launcher, "a b", "", "$x")

    assert lines == [f"{launcher.parent}/bin/tool 3", "<a b>", "<>", "<$x>", "$x 'y'"]


def test_xarexec_hands_over_the_file_first(launcher: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.xar"
    file.write_text("#!/usr/bin/env xarexec_fuse\n")

    lines = printed("/bin/sh", "-e", launcher, file, "x")

    assert lines[1:] == ["<x>", "$x 'y'"]


def test_the_version_is_that_of_the_package_root_where_it_has_one(launcher: Path) -> None:
    root = launcher.parent
    (root / "bin/tool").write_text('#!/bin/sh\necho "$LAMINA_VERSION $LAMINA_PACKAGE"\n')
    assert printed(launcher, LAMINA_VERSION="outer", LAMINA_PACKAGE="/outer") == ["outer /outer"]

    (root / ".lamina").mkdir()
    (root / ".lamina/version").write_text("v1\n")

    assert printed(launcher, LAMINA_VERSION="outer") == [f"v1 {root}"]


@pytest.mark.parametrize("shell", ["sh -eu", "bash --posix -eu"])
def test_shells_run_a_launcher_under_their_strictest_rules(launcher: Path, shell: str) -> None:
    assert printed(*shell.split(), launcher)[0] == f"{launcher.parent}/bin/tool 0"


def test_no_launcher_knows_where_it_lies() -> None:
    launcher = python_launcher("m", ".lamina/m.py", ("/usr/bin/python3.11", "python3.11"), {})

    assert launcher.startswith(b"#!/bin/sh\n")
    assert b"/packages" not in launcher


@pytest.mark.parametrize("path", ["/usr/bin/python3.11", "/opt/$A/`b`"])
def test_a_plain_launcher_is_known_but_for_the_interpreter(path: str) -> None:
    before, behind = plain_python("m", ".lamina/m.py", "python3.11")

    launcher = python_launcher("m", ".lamina/m.py", (path, "python3.11"), {})

    assert f"{before}{path}{behind}".encode() == launcher


@pytest.mark.parametrize(
    ("environment", "arguments", "preload"),
    [({"A": "1"}, (), ()), ({}, ["-v"], ()), ({}, (), ["lib/a.so"])],
)
def test_what_a_shell_has_to_read_is_no_plain_launcher(
    environment: dict[str, str], arguments: list[str], preload: list[str]
) -> None:
    before, behind = plain_python("m", ".lamina/m.py", "python3.11")
    interpreter = ("/usr/bin/python3.11", "python3.11")

    other = python_launcher("m", ".lamina/m.py", interpreter, environment, arguments, preload)

    assert not (other.startswith(before.encode()) and other.endswith(behind.encode()))
