"""Archives against the readers of Python's library: trees come out as they went in."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.core.digest import Digest
from lamina.core.tree import File, Folder, Node, Symlink, Tree, conflicts, with_folders
from lamina.formats import treearchive

DATA = {Digest.of(data): data for data in (b"", b"a", b"x" * 5000, bytes(70_000))}
NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)
PATHS = st.lists(
    NAMES.filter(lambda name: name not in (".", "..") and len(name.encode()) < 200), min_size=1,
    max_size=4,
).map("/".join)  # fmt: skip
NODES: st.SearchStrategy[Node] = st.one_of(
    st.builds(File, st.sampled_from(sorted(DATA)), st.booleans()),
    st.builds(Symlink, PATHS),
    st.just(Folder()),
)
TREES = st.dictionaries(PATHS, NODES, max_size=8).filter(lambda tree: not conflicts(tree))


@contextmanager
def opened(digest: Digest) -> Iterator[IO[bytes]]:
    yield io.BytesIO(DATA[digest])


def tar(tree: Tree) -> bytes:
    out = io.BytesIO()
    treearchive.write_tar(tree, opened, out)
    return out.getvalue()


def zipped(tree: Tree, level: int | None = 6) -> bytes:
    out = io.BytesIO()
    treearchive.write_zip(tree, opened, out, level)
    return out.getvalue()


@given(TREES)
def test_a_tar_holds_the_tree_with_all_its_folders(tree: dict[str, Node]) -> None:
    with tarfile.open(fileobj=io.BytesIO(tar(tree))) as found:
        seen = {entry.name: node_of(found, entry) for entry in found}

    assert seen == with_folders(tree)
    assert list(seen) == list(with_folders(tree))


def node_of(found: tarfile.TarFile, entry: tarfile.TarInfo) -> Node:
    assert (entry.uid, entry.gid, entry.uname, entry.gname, entry.mtime) == (0, 0, "", "", 0)
    if entry.issym():
        return Symlink(entry.linkname)
    if entry.isdir():
        assert entry.mode == 0o755
        return Folder()
    file = found.extractfile(entry)
    assert file is not None
    assert entry.mode in (0o755, 0o644)
    return File(Digest.of(file.read()), entry.mode == 0o755)


@given(TREES.filter(lambda tree: not any("\\" in path for path in tree)))
def test_a_zip_holds_the_tree_with_all_its_folders(tree: dict[str, Node]) -> None:
    with zipfile.ZipFile(io.BytesIO(zipped(tree))) as found:
        assert found.testzip() is None
        seen = {entry.filename.rstrip("/"): unzipped(found, entry) for entry in found.infolist()}

    assert seen == with_folders(tree)


def unzipped(found: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Node:
    assert entry.date_time == (1980, 1, 1, 0, 0, 0)
    mode = entry.external_attr >> 16
    if entry.is_dir():
        assert stat.S_ISDIR(mode)
        return Folder()
    data = found.read(entry)
    if stat.S_ISLNK(mode):
        return Symlink(data.decode())
    return File(Digest.of(data), stat.S_IMODE(mode) == 0o755)


@given(TREES, st.randoms())
def test_the_order_of_a_tree_does_not_matter(tree: dict[str, Node], random: object) -> None:
    items = list(tree.items())
    random.shuffle(items)  # type: ignore[attr-defined]

    assert tar(dict(items)) == tar(tree)
    assert zipped(dict(items)) == zipped(tree)


def test_a_zip_may_be_stored_or_pressed_hard() -> None:
    tree = {"a": File(Digest.of(bytes(70_000)))}

    assert len(zipped(tree, None)) > 70_000 > len(zipped(tree, 1)) > len(zipped(tree, 9))


def test_a_file_that_is_shorter_than_its_name_says_is_not_written() -> None:
    wrong = Digest(Digest.of(b"a").hash, 5)

    @contextmanager
    def short(_: Digest) -> Iterator[IO[bytes]]:
        yield io.BytesIO(b"a")

    with pytest.raises(OSError, match="unexpected end"):
        treearchive.write_tar({"a": File(wrong)}, short, io.BytesIO())
