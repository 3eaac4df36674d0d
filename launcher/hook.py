"""Compiles the launcher into wheels, where there is a compiler; hatchling calls this.

A wheel with it is for one architecture. One without, which LAMINA_LAUNCHER=no asks for, is for all,
and its `lamina` is the program in Python.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_SOURCES = ("main", "record", "blake2s", "place", "mounts", "served", "root", "report")
_FLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-s")
_PYTHON = "scripts/lamina"


class Launcher(BuildHookInterface):  # type: ignore[type-arg]
    """Which commands a wheel has."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Add the launcher as `lamina`, which finds Python's beside it, or that alone."""
        made = Path(self.root, "build", "launcher", "lamina")
        scripts = build_data.setdefault("shared_scripts", {})
        if not _compile(Path(self.root, "launcher"), made):
            scripts[str(Path(self.root, _PYTHON))] = "lamina"
            return
        scripts[str(made)] = "lamina"
        scripts[str(Path(self.root, _PYTHON))] = "lamina-python"
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"


def _compile(folder: Path, made: Path) -> bool:
    """Compile the launcher, without need of libraries at run time where that is possible."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    wanted = os.environ.get("LAMINA_LAUNCHER") != "no"
    if not (wanted and sys.platform == "linux" and shutil.which(compiler[0])):
        return False
    made.parent.mkdir(parents=True, exist_ok=True)
    new = made.with_name(f"{made.name}.{os.getpid()}")
    sources = [str(folder / f"{name}.c") for name in _SOURCES]
    said = ""
    for more in (["-static"], []):
        command = [*compiler, *_FLAGS, *more, "-o", str(new), *sources]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if done.returncode == 0:
            new.replace(made)
            return True
        said = done.stderr
    sys.stderr.write(f"lamina: no launcher, `{compiler[0]}` can not compile it:\n{said}\n")
    return False
