"""The command line in processes of its own, on small workspaces with a store of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

_SOURCE = Path(__file__).parents[3] / "src"


class Lamina:
    """`lamina("build", "//...")` runs the command in the workspace."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "workspace"
        self.store = folder / "store"
        path = os.pathsep.join((str(_SOURCE), *os.environ.get("PYTHONPATH", "").split(os.pathsep)))
        self.environment = {**os.environ, "LAMINA_STORE": str(self.store), "PYTHONPATH": path}
        self.root.mkdir()
        self.write({"lamina.toml": ""})

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def command(self, *words: str, switches: tuple[str, ...] = ()) -> list[str]:
        return [sys.executable, *switches, "-m", "lamina.cli", *words]

    def __call__(
        self, *words: str, at: str = "", switches: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words, switches=switches),
            cwd=self.root / at,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*words),
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def actions(self, *words: str) -> int:
        """How many actions a build runs."""
        done = self("build", *(words or ("//...",)))
        assert done.returncode == 0, done.stderr
        told = re.search(r"(\d+) actions? run", done.stderr.splitlines()[-1])
        return int(told[1]) if told else 0


@pytest.fixture
def lamina(tmp_path: Path) -> Lamina:
    return Lamina(tmp_path)
