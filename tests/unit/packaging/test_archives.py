"""Writing archives and folders to their place: whole or not at all."""

from __future__ import annotations

import io
import os
import random
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError, UserError
from lamina.core.tree import File, Folder, Node, Symlink
from lamina.packaging import archives
from lamina.packaging.archives import Compression

DATA = {Digest.of(data): data for data in (b"text\n", b"#!/bin/sh\n")}
TEXT, SCRIPT = DATA
TREE: dict[str, Node] = {
    "a/b": File(TEXT),
    "a/run": File(SCRIPT, executable=True),
    "a/to": Symlink("b"),
    "empty": Folder(),
}
GZIP = Compression("gzip")


@contextmanager
def opened(digest: Digest) -> Iterator[IO[bytes]]:
    yield io.BytesIO(DATA[digest])


@contextmanager
def damaged(digest: Digest) -> Iterator[IO[bytes]]:
    """As a store does it: what is wrong is known at the end."""
    yield io.BytesIO(bytes(digest.size))
    raise IntegrityError("damaged")


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_a_folder_has_modes_and_times_of_its_own(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        archives.write_folder(TREE, opened, tmp_path / "made")
    finally:
        os.umask(before)

    found = {path.name: path.lstat() for path in (tmp_path / "made").rglob("*")}
    modes = {name: stat.filemode(status.st_mode) for name, status in found.items()}
    assert modes == {
        "a": "drwxr-xr-x", "b": "-rw-r--r--", "run": "-rwxr-xr-x", "to": "lrwxrwxrwx",
        "empty": "drwxr-xr-x",
    }  # fmt: skip
    assert {status.st_mtime for status in found.values()} == {0}
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "made/a/to").read_text() == "text\n"


def test_nothing_is_left_of_what_went_wrong(tmp_path: Path) -> None:
    (tmp_path / "made.tar.gz").write_text("the old one")
    archives.write_folder({"old": File(TEXT)}, opened, tmp_path / "made")

    with pytest.raises(IntegrityError):
        archives.write_tar(TREE, damaged, tmp_path / "made.tar.gz", GZIP)
    with pytest.raises(IntegrityError):
        archives.write_zip(TREE, damaged, tmp_path / "made.zip", GZIP)
    with pytest.raises(IntegrityError):
        archives.write_folder(TREE, damaged, tmp_path / "made")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "made.tar.gz"]
    assert (tmp_path / "made.tar.gz").read_text() == "the old one"
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["old"]


@pytest.mark.parametrize("name", ["gzip", "zstd", "none"])
def test_what_is_compressed_is_read_by_its_own_program(tmp_path: Path, name: str) -> None:
    archives.write_tar(TREE, opened, tmp_path / "made", Compression(name))

    listed = subprocess.run(
        ["tar", "-tf", tmp_path / "made"], capture_output=True, text=True, check=True
    )
    assert listed.stdout.split() == ["a/", "a/b", "a/run", "a/to", "empty/"]
    first = (tmp_path / "made").read_bytes()[:4]
    magic = {"gzip": b"\x1f\x8b\x08\x00", "zstd": b"\x28\xb5\x2f\xfd", "none": b"a/\0\0"}
    assert first == magic[name]


def test_a_level_changes_the_size(tmp_path: Path) -> None:
    words = random.Random(1).choices(["layer", "package", "mount", "store"], k=50_000)
    data = " ".join(words).encode()
    digest = Digest.of(data)
    DATA[digest] = data
    sizes = []
    for level in (1, 9):
        archives.write_tar(
            {"a": File(digest)}, opened, tmp_path / "made", Compression("gzip", level)
        )
        sizes.append((tmp_path / "made").stat().st_size)

    assert sizes[0] > sizes[1]


def test_what_is_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made/x").touch()
    (tmp_path / "file").touch()

    with pytest.raises(UserError, match=r"cannot write `.*/made`: Is a directory"):
        archives.write_tar(TREE, opened, tmp_path / "made", GZIP)
    with pytest.raises(UserError, match=r"cannot write `.*/file/made`"):
        archives.write_tar(TREE, opened, tmp_path / "file/made", GZIP)
    with pytest.raises(UserError, match=r"cannot write `.*/file/made`"):
        archives.write_folder(TREE, opened, tmp_path / "file/made")


def test_a_link_to_a_folder_is_replaced_and_what_it_leads_to_kept(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/x").touch()
    (tmp_path / "made").symlink_to("kept")

    archives.write_folder(TREE, opened, tmp_path / "made")

    assert (tmp_path / "kept/x").exists()
    assert not (tmp_path / "made").is_symlink()
