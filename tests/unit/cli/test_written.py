"""Folders that are written again keep the files that nobody has touched."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from lamina.cli.written import Written
from lamina.core.digest import Digest
from lamina.core.tree import File, Node, Symlink
from lamina.packaging import archives

CONTENTS = {Digest.of(data): data for data in (b"one", b"two", b"new")}
ONE, TWO, NEW = CONTENTS
TREE: dict[str, Node] = {"a": File(ONE), "b/c": File(TWO, True), "d": Symlink("a")}


@contextlib.contextmanager
def open_blob(digest: Digest) -> Iterator[IO[bytes]]:
    yield io.BytesIO(CONTENTS[digest])


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "out"


def write(target: Path, tree: dict[str, Node]) -> None:
    scratch = target.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    written = Written(target.parent / "memory", target, scratch)
    archives.write_folder(tree, open_blob, target, written.earlier)
    written.keep(tree)


def inodes(target: Path) -> dict[str, int]:
    return {path: (target / path).lstat().st_ino for path in TREE if path != "d"}


def test_what_is_as_it_was_left_stays(target: Path) -> None:
    write(target, TREE)
    before = inodes(target)

    write(target, TREE)
    write(target, {**TREE, "a": File(NEW)})

    after = inodes(target)
    assert after["b/c"] == before["b/c"]
    assert (target / "a").read_bytes() == b"new"
    assert (target / "b/c").stat().st_mode & 0o777 == 0o755
    assert (target / "b/c").stat().st_nlink == 1
    assert (target / "d").readlink() == Path("a")


@pytest.mark.parametrize("how", ["written", "removed", "link", "mode"])
def test_what_was_touched_is_written_anew(target: Path, how: str) -> None:
    write(target, TREE)
    path = target / "a"
    if how == "written":
        path.write_bytes(b"ONE")
    elif how == "mode":
        path.chmod(0o600)
    else:
        path.unlink()
        if how == "link":
            path.symlink_to("b/c")

    write(target, TREE)

    assert not path.is_symlink()
    assert path.read_bytes() == b"one"
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_damaged_memory_is_none(target: Path) -> None:
    write(target, TREE)
    (target.parent / "memory").write_bytes(b"?")

    write(target, TREE)

    assert (target / "a").read_bytes() == b"one"
