"""Launchers as text that a POSIX shell runs; programs in Python are run in rules/test_python.py."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.formats.launcher import (
    installed_script,
    native_launcher,
    python_launcher,
    started_by,
)

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


# Mostly plain, and what may mislead who reads it.
WORDS = st.text(st.sampled_from('ab/.-_ $`}"\n'), min_size=1, max_size=6)
PYTHON = ("/usr/bin/python3.11", "python3.11")


def test_who_starts_a_plain_program_knows_by_what() -> None:
    launcher = python_launcher("m", ".lamina/m.py", PYTHON, {})

    assert started_by(launcher) == ("/usr/bin/python3.11", ".lamina/m.py")


@pytest.mark.parametrize(
    "other",
    [
        python_launcher("m", ".lamina/m.py", PYTHON, {"A": "1"}),
        python_launcher("m", ".lamina/m.py", PYTHON, {}, ["-v"]),
        python_launcher("m", ".lamina/m.py", PYTHON, {}, (), ["lib/a.so"]),
        python_launcher("m", ".lamina/m.py", ("/opt/$A/python", "python3.11"), {}),
        python_launcher("m", ".lamina/$(id).py", PYTHON, {}),
        installed_script(*PYTHON),
        native_launcher("bin/m", {}),
        b"",
        b"\xff",
    ],
)
def test_a_shell_has_to_read_other_launchers(other: bytes) -> None:
    assert started_by(other) is None


@given(WORDS, WORDS, WORDS, WORDS)
def test_a_plain_program_is_started_by_what_was_written(
    name: str, bootstrap: str, path: str, command: str
) -> None:
    found = started_by(python_launcher(name, bootstrap, (path, command), {}))

    assert found in (None, (path, bootstrap))
    assert found is not None or set("".join((name, bootstrap, path, command))) & set(' $`}"\n')
