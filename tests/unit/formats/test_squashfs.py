"""The superblock reader against images that mksquashfs made."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lamina.core.errors import IntegrityError
from lamina.formats import squashfs


def image(folder: Path, *options: str) -> bytes:
    tree = folder / "tree"
    tree.mkdir()
    (tree / "a").write_text("a")
    target = folder / "image"
    subprocess.run(
        ["mksquashfs", tree, target, "-quiet", "-no-progress", *options],
        check=True,
        capture_output=True,
    )
    return target.read_bytes()


@pytest.mark.parametrize("compressor", ["gzip", "xz", "lz4", "zstd", "lzo"])
def test_the_compressor_is_the_one_mksquashfs_was_told(tmp_path: Path, compressor: str) -> None:
    superblock = squashfs.parse(image(tmp_path, "-comp", compressor))

    assert superblock.compressor == compressor


def test_block_size_time_and_inodes_are_those_of_the_image(tmp_path: Path) -> None:
    superblock = squashfs.parse(image(tmp_path, "-b", "65536", "-mkfs-time", "12345"))

    assert superblock.block_size == 65536
    assert superblock.modified == 12345
    assert superblock.inodes == 2


def test_the_bytes_used_are_the_size_without_padding(tmp_path: Path) -> None:
    data = image(tmp_path, "-nopad")

    assert squashfs.parse(data).bytes_used == len(data)


@pytest.mark.parametrize("data", [b"", b"hsqs", b"sqsh" + bytes(92), bytes(96)])
def test_what_is_no_superblock_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="no superblock"):
        squashfs.parse(data)


@pytest.mark.parametrize(
    ("place", "value", "complaint"),
    [
        (12, b"\1\0\0\0", "block size"),
        (20, b"\x63\0", "unknown compressor: 99"),
        (28, b"\3\0", "version 3.0"),
    ],
)
def test_an_impossible_field_is_named(
    tmp_path: Path, place: int, value: bytes, complaint: str
) -> None:
    data = image(tmp_path)[: squashfs.SUPERBLOCK_SIZE]
    broken = data[:place] + value + data[place + len(value) :]

    with pytest.raises(IntegrityError, match=complaint):
        squashfs.parse(broken)
