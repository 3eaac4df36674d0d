"""The command line on copies of whole projects, each with a store of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

_EXAMPLES = Path(__file__).parents[2] / "examples"
_SOURCES = Path(__file__).parents[2] / "src"


@pytest.fixture
def lamina(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`lamina(root, "run", "//:A")` runs the command in a folder and returns what it printed."""

    def call(
        root: Path,
        *words: str,
        given: str | None = None,
        umask: int = -1,
        user: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        if words[0] in ("run", "exec") and not _may_mount():
            pytest.skip("/dev/fuse is closed to this user")
        return subprocess.run(
            [sys.executable, "-m", "lamina.cli", *words],
            cwd=root,
            env={
                **os.environ,
                "LAMINA_STORE": str(tmp_path / "store"),
                "PYTHONPATH": str(_SOURCES),
                **(environment or {}),
            },
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            text=True,
            check=False,
            umask=umask,
            user=user,
        )

    return call


def _may_mount() -> bool:
    return os.geteuid() == 0 or os.access("/dev/fuse", os.R_OK | os.W_OK)


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[..., Path]:
    """`copy_of("article")` copies an example; a second argument says where to."""

    def copy(example: str, to: str = "") -> Path:
        root = tmp_path / (to or example)
        shutil.copytree(_EXAMPLES / example, root, ignore=shutil.ignore_patterns("lamina-out"))
        return root

    return copy


@pytest.fixture
def article(copy_of: Callable[..., Path]) -> Path:
    return copy_of("article")


@pytest.fixture
def pure(tmp_path: Path) -> Path:
    """A program in Python alone: in namespace packages, with `args`, `env` and a data file."""
    root = tmp_path / "pure"
    (root / "deep/er").mkdir(parents=True)
    (root / "lamina.toml").write_text("")
    (root / "deep/er/mod.py").write_text("def name():\n    return __name__\n")
    (root / "BUILD").write_text(
        'python_library(name = "lib", srcs = ["deep/er/mod.py"])\n'
        "python_binary(\n"
        '    name = "app", main = "app.py", deps = [":lib"],\n'
        '    args = ["--given", "\'two words\'"], env = {"GIVEN": "it\'s"},\n'
        ")\n"
    )
    (root / "app.py").write_text(
        "import os, sys\n"
        "from deep.er import mod\n"
        "known = [os.environ[key] for key in ('GIVEN', 'LAMINA_VERSION')]\n"
        "print(mod.name(), __name__, sys.argv[1:], *known)\n"
        "assert not [path for path in sys.path if 'dist-packages' in path]\n"
        "sys.exit(int(os.environ.get('CODE', 0)))\n"
    )
    return root
