"""Whoever starts a package: the second start is warm, and large layers become folders of theirs."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from lamina.node import laying
from tests import launcher

from .conftest import Person, leftovers, processes

_BUILD = """\
python_library(name = "large", resources = ["large.bin"])
python_binary(name = "program", srcs = ["program.py"], deps = [":large"])
"""
_PROGRAM = """\
import hashlib, os, pathlib
with open(pathlib.Path(__file__).with_name("large.bin"), "rb") as file:
    print(hashlib.sha256(file.read()).hexdigest(), os.geteuid())
"""
# Tells how much of lamina was there when the program took its place.
_EXEC = """\
import os, sys
real = os.execve
def told(*words):
    print("cold" if "argparse" in sys.modules else "warm", flush=True)
    real(*words)
os.execve = told
sys.argv = ["lamina", "exec", *sys.argv[1:]]
from lamina.cli.start import program
sys.exit(program())
"""

_SKIPPED = 'sys.argv = ["lamina", "exec", *sys.argv[1:]]\n'


@pytest.fixture
def place(area: Path) -> str:
    """A package in a folder that anybody can read."""
    root = area / "workspace"
    root.mkdir()
    (root / "lamina.toml").write_text("")
    (root / "BUILD").write_text(_BUILD)
    (root / "program.py").write_text(_PROGRAM)
    (root / "large.bin").write_bytes(random.Random(1).randbytes(3 << 20))
    hub = f"oci:{area}/hub:v1"
    done = subprocess.run(
        [sys.executable, "-m", "lamina.cli", "push", "-q", "//:program", hub],
        cwd=root,
        env={
            **os.environ,
            "LAMINA_STORE": str(area / "builder"),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return hub


@pytest.mark.parametrize("way", ["python", "launcher", "launcher of old kernels"])
def test_the_second_start_is_warm_and_the_layer_a_folder(
    person: Person, place: str, area: Path, clean: None, way: str
) -> None:
    if not laying.may_lie_on(str(area)):
        pytest.skip("the folder for temporary files lies on no disk")
    code = _EXEC
    if way != "python":
        usual = _EXEC.replace(_SKIPPED, "")
        command = launcher.beside(area, usual, person.python)
        if way != "launcher":
            launcher.compiled(Path(command), launcher.OLD_KERNELS)
        code = f"import os, sys; os.execv({command!r}, ['lamina', 'exec', *sys.argv[1:]])"
        # Where there is no such variable, it is Python that knows where a user's policy would be.
        person = replace(person, environment={"HOME": "/nonexistent", **person.environment})
    kinds, lines = [], []
    for _ in range(5):
        # What Python has no part in is told by nobody.
        *kind, line = person.run(code, place).splitlines()
        kinds.append(kind or ["no Python"])
        lines.append(line)
        while processes("lamina.node.laying"):
            time.sleep(0.05)

    assert len(set(lines)) == 1
    assert lines[0].endswith(f" {person.uid}")
    # Pulled; found as a tag that is known; warm with its image; as a folder; warm with that.
    last = "warm" if way == "python" else "no Python"
    assert (kinds[0], kinds[-1]) == (["cold"], [last])
    (folder,) = (area / "store/laid").glob("*/*/root")
    assert (folder.stat().st_uid, folder.joinpath("large.bin").stat().st_size) == (
        person.uid,
        3 << 20,
    )
    assert leftovers(area) == []
