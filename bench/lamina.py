"""The program that is measured, as its users start it, with a store of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lamina
from lamina.linux import drivers
from lamina.store import packages
from lamina.store.local import LocalStore

FIRST_LINE = "to the first line"
END = "to the end"


@dataclass(frozen=True, slots=True)
class Lamina:
    """A lamina whose store lies in a folder of the bench."""

    store: Path

    @property
    def command(self) -> list[str]:
        """The installed program, else the module."""
        script = Path(sys.executable).with_name("lamina")
        return [str(script)] if script.exists() else [sys.executable, "-m", "lamina.cli"]

    @property
    def drivers(self) -> list[str]:
        """The mount drivers that this user can choose."""
        return [drivers.KERNEL, drivers.FUSE] if os.geteuid() == 0 else [drivers.FUSE]

    @property
    def environment(self) -> dict[str, str]:
        """That of the bench, for the code that the bench itself would import."""
        code = Path(str(lamina.__file__)).parents[1]
        return {**environment(), "LAMINA_STORE": str(self.store), "PYTHONPATH": str(code)}

    def __call__(self, *args: str, cwd: Path) -> str:
        """What a command prints."""
        done = subprocess.run(
            [*self.command, *args],
            cwd=cwd,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"lamina {args} failed: {done.stderr.decode(errors='replace')}")
        return done.stdout.decode()

    def package(self, target: str, cwd: Path) -> dict[str, Any]:
        """Make a package; what `--json` says of it."""
        return dict(json.loads(self("package", "--json", target, cwd=cwd)))

    def first_line(self, *args: str, cwd: Path) -> dict[str, float]:
        """How long a command takes to what its program prints first."""
        return first_line([*self.command, *args], cwd, self.environment)

    def images(self, reference: str) -> list[Path]:
        """The layers of a package, bottom first."""
        store = LocalStore(self.store)
        try:
            package = packages.read(packages.resolve(reference, store), store)
            return [store.path(layer.blob) for layer in package.layers]
        finally:
            store.close()


def environment() -> dict[str, str]:
    """The same for lamina and its peers: a line is out when it is printed, pipe or not."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return {**kept, "PYTHONUNBUFFERED": "1"}


def first_line(argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> dict[str, float]:
    """How long a program takes from its start to its first byte of output."""
    with tempfile.TemporaryFile() as errors:
        begun = time.perf_counter()
        with subprocess.Popen(
            argv, cwd=cwd, env=env,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
        ) as child:  # fmt: skip
            assert child.stdout is not None
            byte = os.read(child.stdout.fileno(), 1)
            seconds = time.perf_counter() - begun
            child.stdout.read()
        if child.returncode or not byte:
            errors.seek(0)
            raise RuntimeError(f"{argv} failed: {errors.read().decode(errors='replace')}")
    return {FIRST_LINE: seconds}


def to_the_end(argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> dict[str, float]:
    """How long a program takes from its start to its end."""
    begun = time.perf_counter()
    subprocess.run(
        argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True
    )
    return {END: time.perf_counter() - begun}
