"""Workspaces that are built, edited and built again, through the command line in this process."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from lamina.cli.main import main

_SOURCES = Path(__file__).parents[3] / "src"


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str


class Workspace:
    """A workspace and its store; `workspace("build", "//...")` runs a command there."""

    def __init__(self, root: Path, store: Path) -> None:
        self.root = root
        self.store = store
        self.root.mkdir(parents=True, exist_ok=True)
        self.write({"lamina.toml": ""})

    def write(self, files: Mapping[str, str]) -> None:
        """Write files; a BUILD file lets everybody see what it has."""
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            head = 'package(default_visibility = ["PUBLIC"])\n'
            path.write_text(head + text if path.name in ("BUILD", "BUILD.bazel", "BUCK") else text)

    def __call__(self, *words: str, at: str = "") -> Done:
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.chdir(self.root / at),
            _variable("LAMINA_STORE", str(self.store)),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            code = main(words)
        return Done(code, out.getvalue(), err.getvalue())

    def json(self, *words: str) -> Any:
        """What a command that must succeed says."""
        done = self(*words, "--json")
        assert done.code == 0, done.err
        return json.loads(done.out)

    def build(self, *words: str) -> int:
        """Build, and tell how many actions ran."""
        ran: int = self.json("build", *(words or ("//...",)))["actions_run"]
        return ran

    def compiled(self, *words: str) -> set[str]:
        """Build, which must give what a clean build gives; the sources that were compiled."""
        if not self.check(*words):
            return set()
        ran = self.json("log", "ran")
        return {each["subject"] for each in ran if each["mnemonic"] == "CxxCompile"}

    def output(self, path: str) -> str:
        """What an output holds."""
        return (self.root / "lamina-out" / path).read_text()

    def outputs(self) -> dict[str, str]:
        """All outputs, as digests and modes."""
        out = self.root / "lamina-out"
        return {
            path.relative_to(out).as_posix(): _state(path)
            for path in sorted(out.rglob("*"))
            if (path.is_symlink() or path.is_file()) and path != out / ".gitignore"
        }

    def clean(self, *words: str) -> dict[str, str]:
        """The outputs of the same build from nothing."""
        number = len(list(self.store.parent.glob("clean*")))
        root = self.store.parent / f"clean{number}"
        skipped = shutil.ignore_patterns("lamina-out")
        shutil.copytree(self.root, root, symlinks=True, ignore=skipped)
        other = Workspace.__new__(Workspace)
        other.root, other.store = root, self.store.parent / f"clean{number}.store"
        other.build(*words)
        return other.outputs()

    def check(self, *words: str) -> int:
        """Build, which must give what a build from nothing gives; tells how many actions ran."""
        ran = self.build(*words)
        assert self.outputs() == self.clean(*words)
        return ran

    def start(self, *words: str, given: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        """The same command in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "lamina.cli", *words],
            cwd=self.root,
            env={**os.environ, "LAMINA_STORE": str(self.store), "PYTHONPATH": str(_SOURCES)},
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def _state(path: Path) -> str:
    if path.is_symlink():
        return f"-> {path.readlink()}"
    return f"{sha256(path.read_bytes()).hexdigest()} {bool(path.stat().st_mode & 0o100)}"


@contextlib.contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    known = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if known is None:
            del os.environ[name]
        else:
            os.environ[name] = known


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "w", tmp_path / "store")


@pytest.fixture
def another(tmp_path: Path) -> Callable[[str], Workspace]:
    """`another("name")` is a further workspace on the same store."""
    return lambda name: Workspace(tmp_path / name, tmp_path / "store")
