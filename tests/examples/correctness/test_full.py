"""A disk that is full: a build says so, loses nothing, and goes on when there is room again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.examples.correctness.conftest import Done, Workspace

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="file systems are mounted by root"),
]
Disk = Callable[[Path], None]
FILES = {
    "p/BUILD": "[genrule(name = 'g%d' % n, srcs = ['s.txt'], outs = ['g%d' % n],\n"
    "    cmd = 'awk \"{ for (i = 0; i < 600; i++) print %d, \\$$0 }\" $< > $@' % n)\n"
    "    for n in range(8)]\n"
    "python_binary(name = 'program', main = 'main.py', resources = [':g0'])\n"
    "cxx_library(name = 'native', srcs = ['n.cc'])\n",
    "p/s.txt": "some words of a source\n" * 20,
    "p/main.py": "print('main')\n",
    "p/n.cc": "char big[300000] = {1};\n",
}
PATTERNS = ("//...", "//p:program")
SIZE = 8 << 20


@pytest.fixture
def disk() -> Iterator[Disk]:
    """`disk(folder)` makes a folder a small file system of its own."""
    mounted: list[Path] = []

    def make(folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        words = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", str(folder)]
        subprocess.run(words, check=True)
        mounted.append(folder)

    yield make
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path, left: int) -> Path:
    """Leave so many bytes of room."""
    ballast = folder / "ballast"
    found = os.statvfs(folder)
    ballast.write_bytes(b"\0" * max(0, found.f_bavail * found.f_frsize - left))
    return ballast


def is_told(done: Done, folder: Path) -> bool:
    assert "Traceback" not in done.err
    if done.code == 0:
        return False
    assert done.code == 2, done.err
    assert f"no space is left on the file system of `{folder}`" in done.err
    assert "make room there" in done.err
    return True


LEFT = [0, 4 << 10, 16 << 10, 100 << 10, 400 << 10, 900 << 10, 1500 << 10, 2000 << 10]


def test_a_full_store_is_told_of_and_the_build_goes_on_later(
    workspace: Workspace, disk: Disk
) -> None:
    workspace.write(FILES)
    disk(workspace.store)
    workspace("targets", "//...")  # there is a store, and all is loaded
    told = 0
    for left in LEFT:
        ballast = fill(workspace.store, left)
        told += is_told(workspace("build", *PATTERNS), workspace.store)
        ballast.unlink()

    assert told >= 6
    ran = workspace.check(*PATTERNS)
    assert ran < 13  # what was made stays made
    assert not list(workspace.store.glob("tmp/*"))

    for number, left in enumerate(LEFT):
        workspace.write({"p/s.txt": f"{number} and more words\n" * 20})
        workspace.write({"p/main.py": f"print({number})\n"})
        ballast = fill(workspace.store, left)
        is_told(workspace("build", *PATTERNS), workspace.store)
        is_told(workspace("package", "//p:program"), workspace.store)
        ballast.unlink()
        workspace.check(*PATTERNS)
        for blob in workspace.store.glob("blobs/*/*"):
            blob.unlink()


def test_full_outputs_are_told_of_and_the_build_goes_on_later(
    workspace: Workspace, disk: Disk
) -> None:
    workspace.write(FILES)
    disk(workspace.root / "lamina-out")
    workspace("targets", "//...")
    told = 0
    for number, left in enumerate(LEFT):
        workspace.write({"p/s.txt": f"{number} and more words\n" * 20})
        ballast = fill(workspace.root / "lamina-out", left)
        told += is_told(workspace("build", *PATTERNS), workspace.root)
        ballast.unlink()

        workspace.check(*PATTERNS)

    assert told >= 4


def test_a_full_disk_does_not_keep_from_emptying_the_store(
    workspace: Workspace, disk: Disk
) -> None:
    workspace.write(FILES)
    disk(workspace.store)
    workspace.build()
    fill(workspace.store, 0)

    assert workspace("clean", "--expunge").code == 0
    assert not (workspace.store / "blobs").exists()


def test_outputs_that_cannot_be_put_down_are_told_of(workspace: Workspace) -> None:
    workspace.write({**FILES, "lamina-out": "a file"})

    done = workspace("build", "//p:g1")

    assert done.code == 3
    assert f"cannot put outputs into `{workspace.root}/lamina-out`" in done.err


@pytest.mark.parametrize("form", ["tar.gz", "zip", "dir", "oci", "layers"])
def test_a_full_disk_for_a_package_is_the_one_that_is_named(
    workspace: Workspace, disk: Disk, tmp_path: Path, form: str
) -> None:
    workspace.write(FILES)
    disk(tmp_path / "out")
    fill(tmp_path / "out", 0)

    assert is_told(
        workspace("package", "//p:program", "--format", form, "-o", str(tmp_path / "out")),
        tmp_path / "out",
    )


def test_a_full_disk_for_a_copy_of_outputs_is_named(
    workspace: Workspace, disk: Disk, tmp_path: Path
) -> None:
    workspace.write(FILES)
    disk(tmp_path / "out")
    fill(tmp_path / "out", 0)

    done = workspace("build", "//p:g1", "--out", str(tmp_path / "out"))

    assert done.code == 2
    assert f"cannot copy to `{tmp_path}/out`: No space left on device" in done.err
