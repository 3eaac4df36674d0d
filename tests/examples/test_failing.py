"""Every way to fail that a user can meet, each a small workspace with the exact words expected.

`failing/<case>/expected` holds what `lamina build //...` prints on stderr and its exit code;
`failing/<case>/command` is another command line. `{root}` stands for where the workspace lies,
`{store}` for its store, `{time}` for how long it took.
`LAMINA_UPDATE_EXPECTED=1 pytest tests/examples/test_failing.py` writes the files anew.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_CASES = Path(__file__).parent / "failing"
_SOURCES = Path(__file__).parents[2] / "src"


@pytest.mark.parametrize("case", sorted(path.name for path in _CASES.iterdir()))
def test_a_mistake_is_told_in_exactly_these_words(case: str, tmp_path: Path) -> None:
    expected = _CASES / case / "expected"
    root = tmp_path / "workspace"
    shutil.copytree(_CASES / case, root, ignore=shutil.ignore_patterns("expected", "command"))

    told = _told(_command(_CASES / case), root, tmp_path / "store")

    if os.environ.get("LAMINA_UPDATE_EXPECTED"):
        expected.write_text(told)
    assert told == expected.read_text()


def _command(case: Path) -> list[str]:
    file = case / "command"
    return shlex.split(file.read_text()) if file.exists() else ["build", "//..."]


def _told(command: list[str], root: Path, store: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "lamina.cli", *command],
        cwd=root,
        env={
            **os.environ,
            "COLUMNS": "80",
            "LAMINA_STORE": str(store),
            "LC_ALL": "C.UTF-8",
            "PYTHONPATH": str(_SOURCES),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if "--json" in command else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    words = (done.stdout or "") + done.stderr
    words = words.replace(str(root), "{root}").replace(str(store), "{store}")
    words = re.sub(r"\d+\.\d+ s$", "{time}", words, flags=re.MULTILINE)
    return f"{words}exit code {done.returncode}\n"
