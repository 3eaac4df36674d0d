"""What all tests share: properties are tried without a clock, and leave no files behind."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("lamina", deadline=None, database=None)
settings.load_profile("lamina")

# The program of XAR's authors, github.com/facebookincubator/xar, compiled: no distribution has it.
XAREXEC_FUSE = os.environ.get("XAREXEC_FUSE") or shutil.which("xarexec_fuse")
NO_XAREXEC_FUSE = "no `xarexec_fuse` of XAR's authors on PATH or in $XAREXEC_FUSE"

WriteWheel = Callable[[Path, Mapping[str, str]], Path]


@pytest.fixture
def write_wheel() -> WriteWheel:
    """`write_wheel(path, {"pkg.py": "…"})` writes a wheel, complete by what its name says."""
    return wheel


def wheel(path: Path, files: Mapping[str, str]) -> Path:
    """A wheel with some files, and those that each has unless they are given."""
    name, version, *_, python, abi, platform = path.name.removesuffix(".whl").split("-")
    info = f"{name}-{version}.dist-info"
    every = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"
        f"Tag: {python}-{abi}-{platform}\n",
        **files,
    }
    lines = [f"{each},{_digest(text)},{len(text.encode())}" for each, text in every.items()]
    every.setdefault(f"{info}/RECORD", "\n".join([*lines, f"{info}/RECORD,,", ""]))
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for each, text in every.items():
            archive.writestr(zipfile.ZipInfo(each), text)
    return path


def _digest(text: str) -> str:
    raw = hashlib.sha256(text.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(raw).decode().rstrip("=")
