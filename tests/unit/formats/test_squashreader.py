"""Reading squashfs: what `mksquashfs` made is what is found, and damage is told of."""

from __future__ import annotations

import io
import os
import random
import stat
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from lamina.core.errors import IntegrityError
from lamina.formats import compose, squashfs, squashwriter
from lamina.formats.inodes import File, Folder, Node, Special, Symlink
from lamina.formats.squashreader import Image, UnknownCompressor, Wanted


@contextmanager
def opened(path: Path, offset: int = 0) -> Iterator[Image]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield Image(descriptor, offset)
    finally:
        os.close(descriptor)


def nodes(folder: Folder, name: bytes = b"") -> Iterator[tuple[str, Node]]:
    for own, node in folder.entries.items():
        yield os.fsdecode(name + own), node
        if isinstance(node, Folder):
            yield from nodes(node, name + own + b"/")


def content(image: Image, file: File) -> bytes:
    return b"".join(
        chunk if isinstance(chunk, bytes) else bytes(chunk) for chunk in image.chunks(file)
    )


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of all lengths about a block, many names, and whatever else there is."""
    top = tmp_path_factory.mktemp("tree")
    chance = random.Random(1)
    for size in (0, 1, 4095, 4096, 4097, 131_071, 131_072, 131_073, 300_000):
        (top / f"size-{size}").write_bytes(chance.randbytes(size))
    (top / "many").mkdir()
    for number in range(3000):  # more than one block of names, more than one part of a listing
        (top / "many" / f"a rather long name, so that it fills blocks {number}").touch()
    with (top / "holes").open("wb") as file:
        file.seek(10 << 20)
        file.write(b"in between")
        file.truncate(20 << 20)
    (top / "deep/er/still").mkdir(parents=True)
    (top / "deep/link").symlink_to("../" * 40 + "x" * 200)
    (top / "deep/second").hardlink_to(top / "size-4097")
    os.mkfifo(top / "pipe")
    (top / os.fsdecode(b"not \xff utf-8")).write_text("bytes")
    (top / "odd").touch()
    (top / "odd").chmod(0o1751)
    os.utime(top / "odd", (5, 5))
    return top


def pack(tree: Path, to: Path, *options: str) -> Path:
    subprocess.run(
        ["mksquashfs", tree, to, "-noappend", "-quiet", "-no-progress", *options],
        check=True, capture_output=True,
    )  # fmt: skip
    return to


OPTIONS = {
    "zstd": ("-comp", "zstd"),
    "gzip, small blocks": ("-comp", "gzip", "-b", "4096"),
    "xz": ("-comp", "xz"),
    "plain": ("-noI", "-noD", "-noF", "-noX"),
    "no fragments": ("-comp", "zstd", "-no-fragments"),
    "all fragments": ("-comp", "zstd", "-always-use-fragments"),
}


@pytest.fixture(scope="module", params=OPTIONS, ids=str)
def image(
    request: pytest.FixtureRequest, tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    to = tmp_path_factory.mktemp("image") / "squashfs"
    return pack(tree, to, *OPTIONS[request.param])


def check(image: Image, root: Folder, tree: Path) -> None:
    """All that is in a folder of the disk is found, and nothing else."""
    found = dict(nodes(root))
    assert set(found) == {path.relative_to(tree).as_posix() for path in tree.rglob("*")}
    for name, node in found.items():
        status = (tree / name).lstat()
        assert (node.attributes.mode, node.attributes.modified, node.attributes.uid) == (
            stat.S_IMODE(status.st_mode), int(status.st_mtime), status.st_uid
        ), name  # fmt: skip
        if isinstance(node, File):
            assert node.size == status.st_size
            assert (
                sha256(content(image, node)).digest() == sha256((tree / name).read_bytes()).digest()
            ), name
        elif isinstance(node, Symlink):
            assert os.fsdecode(node.target) == str((tree / name).readlink())
        elif isinstance(node, Special):
            assert (node.kind, name) == ("pipe", "pipe")
        else:
            assert (tree / name).is_dir()
    one, other = found["size-4097"], found["deep/second"]
    assert isinstance(one, File)
    assert isinstance(other, File)
    assert one.number == other.number


def test_all_that_is_in_an_image_is_found(image: Path, tree: Path) -> None:
    with opened(image) as read:
        check(read, read.root(), tree)


def test_an_image_may_start_behind_something_else(tree: Path, tmp_path: Path) -> None:
    image = pack(tree / "deep", tmp_path / "image")
    image.write_bytes(b"x" * 4096 + image.read_bytes())

    with opened(image, 4096) as read:
        assert b"link" in read.root().entries


def copied(source: Path, folder: Path) -> Path:
    """An image written anew of one that is there."""
    made = folder / "made"
    target = os.open(made, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    with opened(source) as read, source.open("rb") as file:

        def copy(number: int, begin: int, size: int, place: int) -> None:
            os.pwrite(target, os.pread(file.fileno(), size, begin), place)

        squashwriter.write(target, read.root(), [read], copy)
    os.close(target)
    return made


def test_what_is_written_is_read_again_by_us(image: Path, tree: Path, tmp_path: Path) -> None:
    with opened(copied(image, tmp_path)) as read:
        check(read, read.root(), tree)


def test_what_is_written_is_read_by_unsquashfs(image: Path, tree: Path, tmp_path: Path) -> None:
    made = copied(image, tmp_path)
    to = tmp_path / "unpacked"
    subprocess.run(["unsquashfs", "-q", "-n", "-d", to, made], check=True, capture_output=True)

    done = subprocess.run(["diff", "-r", "--no-dereference", tree, to], capture_output=True)

    assert done.stdout.decode(errors="replace").splitlines() == [
        f"File {tree}/pipe is a fifo while file {to}/pipe is a fifo"
    ]
    assert (to / "deep/second").stat().st_ino == (to / "size-4097").stat().st_ino


def anew(root: Folder, images: Sequence[Image], made: Path) -> Path:
    target = os.open(made, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        squashwriter.write_anew(target, root, images)
    finally:
        os.close(target)
    return made


def test_all_of_an_image_can_be_packed_anew(image: Path, tree: Path, tmp_path: Path) -> None:
    with opened(image) as read:
        made = anew(read.root(), [read], tmp_path / "made")

    with opened(made) as read:
        check(read, read.root(), tree)
    to = tmp_path / "unpacked"
    subprocess.run(["unsquashfs", "-q", "-n", "-d", to, made], check=True, capture_output=True)
    done = subprocess.run(["diff", "-r", "--no-dereference", tree, to], capture_output=True)
    assert done.stdout.decode(errors="replace").count("\n") == 1  # the pipe


WANTED: Wanted = {
    b"odd": None, b"size-131073": None,
    b"deep": {b"second": None, b"er": None}, b"many": {},
}  # fmt: skip


def test_some_of_an_image_is_found_and_packed_anew(image: Path, tree: Path, tmp_path: Path) -> None:
    expected = {"odd", "size-131073", "deep", "deep/second", "deep/er", "deep/er/still", "many"}
    with opened(image) as read:
        some, whole = read.root(WANTED), dict(nodes(read.root()))
        assert {name for name, _ in nodes(some)} == expected
        assert {node.attributes for _, node in nodes(some)} == {
            whole[name].attributes for name in expected
        }
        made = anew(some, [read], tmp_path / "made")

    assert made.stat().st_size < 131_073 + 4097 + 8192  # nothing but these files is in it
    with opened(made) as read:
        found = dict(nodes(read.root()))
        assert found.keys() == expected
        for name in ("odd", "size-131073", "deep/second"):
            file = found[name]
            assert isinstance(file, File)
            assert content(read, file) == (tree / name).read_bytes()
            assert file.attributes == whole[name].attributes


@pytest.mark.parametrize(
    "wanted", [{b"nothing": None}, {b"deep": {b"nothing": None}}, {b"odd": {b"nothing": None}}]
)
def test_what_is_wanted_has_to_be_there(image: Path, wanted: Wanted) -> None:
    with opened(image) as read, pytest.raises(IntegrityError, match="wanted"):
        read.root(wanted)


def test_files_of_several_images_are_packed_as_one(tree: Path, tmp_path: Path) -> None:
    first = pack(tree, tmp_path / "first", "-comp", "gzip", "-b", "8192")
    second = pack(tree / "deep", tmp_path / "second", "-comp", "zstd")
    with opened(first) as one, opened(second) as two:
        tops = [one.root({b"size-4096": None, b"odd": None}), two.root({b"second": None})]
        made = anew(compose.composed(tops, is_bottom=False), [one, two], tmp_path / "made")

    with opened(made) as read:
        assert read.form == ("gzip", 8192)
        found = {name: content(read, node) for name, node in nodes(read.root())
                 if isinstance(node, File)}  # fmt: skip
    assert found == {
        "odd": b"", "size-4096": (tree / "size-4096").read_bytes(),
        "second": (tree / "deep/second").read_bytes(),
    }  # fmt: skip


def test_attributes_devices_and_owners_are_kept(tmp_path: Path) -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, words in (
            ("file", tarfile.REGTYPE, {"user.one": "1", "security.capability": "c" * 20}),
            ("folder", tarfile.DIRTYPE, {"trusted.overlay.opaque": "y", "user.one": "1"}),
            ("gone", tarfile.CHRTYPE, {}),
            ("link", tarfile.SYMTYPE, {"trusted.x": "x" * 3000}),
            ("same", tarfile.REGTYPE, {"trusted.x": "x" * 3000}),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.uid, info.gid, info.linkname = kind, 7, 70_000, "to"
            info.pax_headers = {f"SCHILY.xattr.{key}": value for key, value in words.items()}
            tar.addfile(info)
    image = tmp_path / "image"
    subprocess.run(
        ["mksquashfs", "-", image, "-tar", *squashfs.FROM_TAR],
        input=made.getvalue(), check=True, capture_output=True,
    )  # fmt: skip

    for path in (image, copied(image, tmp_path)):
        with opened(path) as read:
            found = dict(nodes(read.root()))
        assert found["file"].attributes.xattrs == (
            (b"security.capability", b"c" * 20), (b"user.one", b"1"),
        )  # fmt: skip
        assert (found["file"].attributes.uid, found["file"].attributes.gid) == (7, 70_000)
        folder, gone = found["folder"], found["gone"]
        assert isinstance(folder, Folder)
        assert folder.opaque
        assert folder.attributes.xattrs == ((b"user.one", b"1"),)
        assert isinstance(gone, Special)
        assert gone.is_whiteout
        assert found["link"].attributes.xattrs == found["same"].attributes.xattrs


def test_compressors_that_are_not_known_are_told_of(tree: Path, tmp_path: Path) -> None:
    image = pack(tree / "deep", tmp_path / "image", "-comp", "lz4")

    with pytest.raises(UnknownCompressor, match="squashfs by lz4"), opened(image):
        pass


@pytest.mark.parametrize("seed", range(8))
def test_damage_is_an_error_or_other_bytes_and_never_anything_else(
    tree: Path, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    image = pack(tree / "deep", tmp_path / "image", *(("-noI",) if seed % 2 else ()))
    whole = image.read_bytes()
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(1 << chance.randrange(6)):
            data[chance.randrange(4, len(data))] = chance.randrange(256)
        image.write_bytes(data)
        try:
            with opened(image) as read:
                for _, node in nodes(read.root()):
                    if isinstance(node, File) and node.size < 1 << 24:
                        content(read, node)
        except IntegrityError:
            pass
