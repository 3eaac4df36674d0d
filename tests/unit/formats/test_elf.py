"""The kernel runs what is for this machine; `file` and `readelf` tell of the others."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from lamina.formats import elf

_HERE = {"x86_64": "amd64", "aarch64": "arm64"}
_MACHINES = {"amd64": "Advanced Micro Devices X86-64", "arm64": "AArch64"}


def test_the_program_for_this_machine_ends_with_0(tmp_path: Path) -> None:
    architecture = _HERE.get(platform.machine())
    if architecture is None:
        pytest.skip(f"there is no program for {platform.machine()}")
    program = tmp_path / "end"
    program.write_bytes(elf.ending(architecture))
    program.chmod(0o555)

    done = subprocess.run([program], env={}, capture_output=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("architecture", elf.ARCHITECTURES)
def test_its_header_is_what_readelf_reads(architecture: str, tmp_path: Path) -> None:
    if shutil.which("readelf") is None:
        pytest.skip("readelf is not installed")
    program = tmp_path / "end"
    program.write_bytes(elf.ending(architecture))

    done = subprocess.run(
        ["readelf", "-hlW", program], capture_output=True, text=True, check=True,
        env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip

    assert done.stderr == ""
    assert f"Machine: {_MACHINES[architecture]}" in " ".join(done.stdout.split())
    [segment] = [line.split() for line in done.stdout.splitlines() if "LOAD" in line]
    assert segment[6:8] == ["R", "E"]
    entry = int(next(w.split()[-1] for w in done.stdout.splitlines() if "Entry point" in w), 16)
    assert entry == int(segment[2], 16) + len(elf.ending(architecture)) - _code(architecture)


def _code(architecture: str) -> int:
    return {"amd64": 9, "arm64": 12}[architecture]
