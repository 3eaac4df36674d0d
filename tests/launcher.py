"""The launcher as it is installed, with a program in Python beside it that the tests choose."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[1] / "launcher"
# Tells that Python was asked, then does what it would.
TELLING = """\
import os, sys
print("python", flush=True)
if "WITHOUT_KERNEL" in os.environ:
    from lamina.linux import drivers
    drivers._missing_for_kernel = lambda: ["loop devices"]
from lamina.cli.start import program
sys.exit(program())
"""
# It ends with an error where it touches memory that it may not.
CHECKS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
OLD_KERNELS = "-DSTACK_BY_NAMES=1"  # do as before Linux 6.15


def workspace(
    lamina: Callable[..., subprocess.CompletedProcess[str]], folder: Path, files: Mapping[str, str]
) -> Path:
    """A workspace of these files, whose `//:program` was packaged."""
    root = folder / "workspace"
    root.mkdir()
    for name, text in {"lamina.toml": "", **files}.items():
        (root / name).write_text(text)
    done = lamina(root, "package", "-q", "//:program")
    assert done.returncode == 0, done.stderr
    return root


def compiled(made: Path, *flags: str) -> Path:
    """The launcher, compiled with more flags."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    sources = sorted(map(str, SOURCES.glob("*.c")))
    usual = ["-std=c11", "-g", "-Wall", "-Wextra", "-Wshadow", "-Werror"]
    subprocess.run(["cc", *usual, *flags, "-o", made, *sources], check=True)
    return made


def beside(folder: Path, code: str, python: str = sys.executable) -> str:
    """A copy of the launcher in a folder, with code in Python that it becomes for all else.

    Skips the test where lamina was installed without it.
    """
    installed = Path(sys.executable).with_name("lamina")
    if installed.read_bytes()[:4] != b"\x7fELF":
        pytest.skip("lamina was installed without the launcher: there was no C compiler")
    made = folder / "bin" / "lamina"
    made.parent.mkdir()
    made.write_bytes(installed.read_bytes())
    usual = made.with_name("lamina-python")
    usual.write_text(f"#!{python} -S\n{code}")
    for program in (made, usual):
        program.chmod(0o755)
    return str(made)
