"""Cells that are archives: in lamina.toml, a BUILD file of the workspace's, made when wanted."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from lamina.build import workspace
from lamina.build.faults import FaultReport
from lamina.build.loader import Loader
from lamina.core.errors import LaminaError
from lamina.core.label import Label

Make = Callable[..., Loader]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An archive with a file and a build package below its root."""
    path = tmp_path / "z.tar"
    with tarfile.open(path, "w") as made:
        files = {"z-1/z.h": "int z;\n", "z-1/sub/BUILD": "filegroup(name = 's', srcs = ['x'])\n"}
        for name, text in {**files, "z-1/sub/x": ""}.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            made.addfile(info, io.BytesIO(text.encode()))
    return path


@pytest.fixture
def make(tmp_path: Path, archive: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A workspace whose cell `z` is the archive; a word for each more that is said of it."""
    monkeypatch.setenv("LAMINA_STORE", str(tmp_path / "store"))
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()

    def write(more: str = "", files: dict[str, str] | None = None, sha256: str = digest) -> Loader:
        settings = f'url = "{archive.as_uri()}", sha256 = "{sha256}", strip_prefix = "z-1"{more}'
        written = {
            "lamina.toml": f"[cells]\nz = {{ {settings} }}\n",
            "BUILD": "filegroup(name = 'a', srcs = ['@z//:h', '@z//sub:s'])",
            "z.BUILD": "filegroup(name = 'h', srcs = ['z.h'], visibility = ['PUBLIC'])",
            **(files or {}),
        }
        for path, text in written.items():
            file = tmp_path / "root" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return Loader(workspace.read(tmp_path / "root"))

    return write


BUILD = ', build_file = "//:z.BUILD"'


def test_a_cell_is_fetched_and_given_a_build_file(make: Make) -> None:
    loader = make(BUILD)

    found = loader.closure([Label("z", "", "h"), Label("z", "sub", "s")])

    assert [str(label) for label in found] == ["@z//:h", "@z//sub:s"]
    assert Path(loader.workspace.locate("external/z/z.h")).read_text() == "int z;\n"


def test_a_cell_is_not_fetched_before_it_is_wanted(make: Make, tmp_path: Path) -> None:
    loader = make(BUILD, {"p/BUILD": "filegroup(name = 'b')"})

    loader.closure([Label("", "p", "b")])

    assert not (tmp_path / "store" / "cells").exists()


def test_a_cell_is_fetched_once(make: Make, archive: Path) -> None:
    make(BUILD).closure([Label("z", "", "h")])

    archive.unlink()

    assert make(BUILD).closure([Label("z", "", "h")])


def test_patches_change_it_and_its_folder(make: Make, tmp_path: Path) -> None:
    before = Path(make(BUILD).workspace.locate("external/z/z.h"))
    patch = "--- a/z.h\n+++ b/z.h\n@@ -1 +1 @@\n-int z;\n+int y;\n"

    loader = make(BUILD + ', patches = ["//:z.diff"]', {"z.diff": patch})
    after = Path(loader.workspace.locate("external/z/z.h"))

    assert (before.read_text(), after.read_text()) == ("int z;\n", "int y;\n")
    assert str(tmp_path / "root/z.diff") in loader.workspace.files


def test_a_patch_that_does_not_fit_is_told(make: Make, tmp_path: Path) -> None:
    patch = "--- a/z.h\n+++ b/z.h\n@@ -1 +1 @@\n-int x;\n+int y;\n"
    loader = make(BUILD + ', patches = ["z.diff"]', {"z.diff": patch})

    with pytest.raises(LaminaError, match=r"cell `z`: .*z\.diff` does not fit"):
        loader.closure([Label("z", "", "h")])

    assert not list((tmp_path / "store" / "cells").glob("*"))


def test_a_wrong_digest_names_the_cell(make: Make) -> None:
    with pytest.raises(LaminaError, match=r"cell `z`: .* is not what it should be"):
        make(BUILD, sha256="0" * 64).closure([Label("z", "", "h")])


def test_what_is_wrong_in_the_table_is_told_together(make: Make) -> None:
    with pytest.raises(FaultReport) as caught:
        make(', patches = "x", type = "rar", colour = "red"', sha256="12")

    assert caught.value.message.splitlines() == [
        "lamina.toml:2:1: `patches` of the cell `z` takes a list of strings",
        "lamina.toml:2:1: a cell has no `colour`",
        "lamina.toml:2:1: no type of archives: `rar`",
        "lamina.toml:2:1: the cell `z` needs the `sha256` of its archive, 64 hexadecimal digits",
    ]
