"""docs/query.md lists every function and form, and its examples print what they say.

`LAMINA_UPDATE_EXPECTED=1 pytest tests/docs` writes the table and the picture anew.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lamina.build.query.functions import FUNCTIONS
from lamina.build.query.output import FORMS

_ROOT = Path(__file__).parents[2]
_PAGE = _ROOT / "docs" / "query.md"
_PICTURE = _ROOT / "docs" / "graph.svg"
_START = "<!-- functions: written by tests/docs/test_query.py -->\n"
_END = "<!-- end of functions -->\n"


@pytest.fixture
def article(tmp_path: Path) -> Path:
    """The example of the page, in a repository of its own."""
    root = tmp_path / "article"
    left_out = shutil.ignore_patterns("lamina-out", ".git")
    shutil.copytree(_ROOT / "examples" / "article", root, ignore=left_out)
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "x"]):
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        subprocess.run(["git", *identity, *words], cwd=root, check=True)
    return root


def shell(command: str, root: Path) -> str:
    path = root.parent / "bin"
    path.mkdir(exist_ok=True)
    script = path / "lamina"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m lamina.cli "$@"\n')
    script.chmod(0o755)
    return subprocess.run(
        ["/bin/bash", "-c", command],
        cwd=root,
        env={
            **os.environ,
            "LAMINA_STORE": str(root.parent / "store"),
            "PATH": f"{path}:{os.environ['PATH']}",
            "PYTHONPATH": str(_ROOT / "src"),
        },
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip


def test_the_page_has_every_function() -> None:
    before, start, rest = _PAGE.read_text().partition(_START)
    table, end, after = rest.partition(_END)

    if os.environ.get("LAMINA_UPDATE_EXPECTED"):
        table = _table()
        _PAGE.write_text(before + start + table + end + after)
    assert table == _table()


def _table() -> str:
    rows = "".join(f"| `{f.shown(name)}` | {f.doc} |\n" for name, f in FUNCTIONS.items())
    return f"\n| function | gives |\n| --- | --- |\n{rows}\n"


def test_the_page_has_every_form() -> None:
    table = _PAGE.read_text().partition("**Output.**")[2].partition("JSON has")[0]

    assert set(re.findall(r"`(\w+)`", table.replace("`//", ""))) >= set(FORMS)


def test_its_examples_print_what_they_say(article: Path) -> None:
    blocks = re.findall(r"```console\n(.*?)```", _PAGE.read_text(), re.DOTALL)

    assert len(blocks) == 2
    for block in blocks:
        commands = re.findall(r"^\$ (.*)\n((?:[^$].*\n)*)", block, re.MULTILINE)
        assert [(c, shell(c, article)) for c, _ in commands] == commands


def test_its_picture_is_what_is_drawn(article: Path) -> None:
    drawn = shell("lamina graph //:A", article)

    if os.environ.get("LAMINA_UPDATE_EXPECTED"):
        _PICTURE.write_text(drawn)
    assert drawn == _PICTURE.read_text()
