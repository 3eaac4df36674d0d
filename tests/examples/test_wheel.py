"""lamina's own wheel: with the launcher where a compiler makes it for this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_NEEDED = ("LICENSE", "README.md", "pyproject.toml", "launcher", "scripts", "src/lamina/core")
_ELF, _SCRIPT = b"\x7fELF", b"#!python\n"
_OF_ARM = "\\267\\000"  # the architecture in the header of an ELF file; elf(5)

has_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")


def _sources(folder: Path) -> Path:
    for name in _NEEDED:
        source, target = _ROOT / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    return folder


def _build(sources: Path, made: Path, **more: str) -> tuple[Path, dict[str, bytes]]:
    """The wheel, and how its commands begin."""
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(made)],
        cwd=sources,
        env={**os.environ, "TMPDIR": str(made.parent), **more},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = made.iterdir()
    with zipfile.ZipFile(wheel) as opened:
        commands = {
            Path(name).name: opened.read(name)[:9]
            for name in opened.namelist()
            if ".data/scripts/" in name
        }
    return wheel, {
        name: begin[:4] if begin[:4] == _ELF else begin for name, begin in commands.items()
    }


@has_compiler
def test_a_wheel_with_the_launcher_is_the_same_wherever_it_is_built(tmp_path: Path) -> None:
    here = _sources(tmp_path / "here")
    there = _sources(tmp_path / "some other" / "place")
    for path in there.rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(path.stat().st_mode & 0o700)

    wheel, commands = _build(here, tmp_path / "made")
    other, _ = _build(there, tmp_path / "again")

    assert commands == {"lamina": _ELF, "lamina-python": _SCRIPT}
    assert "-py3-none-linux_" in wheel.name
    assert wheel.read_bytes() == other.read_bytes()
    assert not (here / "build").exists()  # they may lie where nobody may write
    assert not list(tmp_path.glob("lamina-launcher-*"))


def test_a_wheel_without_the_launcher_is_for_all_machines(tmp_path: Path) -> None:
    sources = _sources(tmp_path / "sources")
    for number, more in enumerate(
        ({"LAMINA_LAUNCHER": "no"}, {"CC": "/nonexistent/cc"}, {"CC": "false"}, {"CC": "true"})
    ):
        wheel, commands = _build(sources, tmp_path / f"{number}", **more)

        assert commands == {"lamina": _SCRIPT}
        assert wheel.name.endswith("-py3-none-any.whl")


@has_compiler
def test_programs_for_other_machines_are_not_taken(tmp_path: Path) -> None:
    cross = tmp_path / "cc"
    cross.write_text(
        '#!/bin/sh\ncc "$@" || exit\nwhile [ "$1" != -o ]; do shift; done\n'
        f"printf '{_OF_ARM}' | dd of=\"$2\" bs=1 seek=18 conv=notrunc 2>/dev/null\n"
    )
    cross.chmod(0o755)
    sources = _sources(tmp_path / "sources")

    _, commands = _build(sources, tmp_path / "made", CC=str(cross))

    assert commands == {"lamina": _SCRIPT}


@has_compiler
def test_without_static_libraries_it_is_linked_with_shared_ones(tmp_path: Path) -> None:
    shared = tmp_path / "cc"
    shared.write_text('#!/bin/sh\ncase "$*" in *-static*) exit 1; esac\nexec cc "$@"\n')
    shared.chmod(0o755)
    sources = _sources(tmp_path / "sources")

    _, commands = _build(sources, tmp_path / "made", CC=str(shared))

    assert commands == {"lamina": _ELF, "lamina-python": _SCRIPT}
