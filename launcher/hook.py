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
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging import tags

_SOURCES = (
    "main", "record", "edit", "blake2s", "place", "mounts", "served", "root", "python", "report",
    "server",
)  # fmt: skip
# Large files and late times, also where words have 32 bits.
_FLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-s", "-D_FILE_OFFSET_BITS=64", "-D_TIME_BITS=64")
_PYTHON = "scripts/lamina"


class Launcher(BuildHookInterface):  # type: ignore[type-arg]
    """Which commands a wheel has."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Add the launcher as `lamina`, which finds Python's beside it, or that alone."""
        # The sources may lie where nobody may write.
        self._folder = tempfile.TemporaryDirectory(prefix="lamina-launcher-")
        made = Path(self._folder.name, "lamina")
        scripts = build_data.setdefault("shared_scripts", {})
        if not compile_to(made, Path(self.root, "launcher")):
            scripts[str(Path(self.root, _PYTHON))] = "lamina"
            return
        scripts[str(made)] = "lamina"
        scripts[str(Path(self.root, _PYTHON))] = "lamina-python"
        build_data["pure_python"] = False
        platform = next(each for each in tags.platform_tags() if each.startswith("linux_"))
        build_data["tag"] = f"py3-none-{platform}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact: str) -> None:  # noqa: ARG002
        """Remove what was compiled: the wheel has it."""
        self._folder.cleanup()


def compile_to(made: Path, sources: Path) -> bool:
    """Compile the launcher, without need of libraries at run time where that is possible."""
    compiler = shlex.split(os.environ.get("CC") or "cc")
    wanted = os.environ.get("LAMINA_LAUNCHER") != "no"
    if not (wanted and sys.platform == "linux" and shutil.which(compiler[0])):
        return False
    said = ""
    for more in (["-static"], []):
        # Where the sources lie shows nowhere in what is made.
        command = [*compiler, *_FLAGS, *more, "-o", str(made), *(f"{name}.c" for name in _SOURCES)]
        done = subprocess.run(
            command, cwd=sources, capture_output=True, text=True, errors="replace"
        )
        said = done.stderr
        if done.returncode == 0 and made.exists():
            if _kind(made) == _kind(Path(sys.executable)):
                return True
            said = "what it makes is for another machine"
    sys.stderr.write(f"lamina: no launcher, `{compiler[0]}` can not compile it: {said.strip()}\n")
    return False


def _kind(program: Path) -> bytes:
    """Of an ELF file, what it needs of a machine: class, byte order, architecture; elf(5)."""
    with program.open("rb") as file:
        header = file.read(20)
    return header[:6] + header[18:]
