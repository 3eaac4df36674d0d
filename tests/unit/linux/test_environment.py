"""The environment that a program in our place gets."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lamina.linux import environment


@pytest.mark.parametrize("given", [{}, {"LC_CTYPE": "C"}, {"LC_CTYPE": "C.UTF-8"}, {"LANG": "C"}])
def test_what_python_adds_to_the_environment_is_not_handed_on(given: dict[str, str]) -> None:
    code = (
        "import json, os; from lamina.linux import environment;"
        "print(json.dumps([environment.inherited(), dict(os.environ)]))"
    )
    given_all = {"PYTHONPATH": str(Path(environment.__file__).parents[2]), **given}
    done = subprocess.run([sys.executable, "-c", code], env=given_all, capture_output=True)

    inherited, known_to_python = json.loads(done.stdout)

    assert inherited == given_all
    assert known_to_python["LC_CTYPE"] == "C.UTF-8"


def test_a_variable_without_a_name_is_not_handed_on() -> None:
    code = (
        "import os; from lamina.linux import environment;"
        "assert '' in os.environ; os.execve('/bin/echo', ['echo', 'ran'], environment.inherited())"
    )
    given = {"PYTHONPATH": str(Path(environment.__file__).parents[2])}

    done = subprocess.run(
        ["/usr/bin/env", "=value", sys.executable, "-c", code], env=given, capture_output=True
    )

    assert done.stdout == b"ran\n", done.stderr  # Python refuses to hand it on
