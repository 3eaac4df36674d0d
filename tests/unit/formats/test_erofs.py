"""The superblock reader against images that mkfs.erofs made, and what is told to mkfs.erofs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.core.errors import IntegrityError
from lamina.formats import erofs

UUID = "00112233445566778899aabbccddeeff"


def image(folder: Path, *options: str) -> bytes:
    tree = folder / "tree"
    tree.mkdir()
    (tree / "a").write_text("a" * 100_000)
    target = folder / "image"
    subprocess.run(["mkfs.erofs", *options, target, tree], check=True, capture_output=True)
    return target.read_bytes()


def test_all_that_an_image_tells_is_what_mkfs_was_told(tmp_path: Path) -> None:
    data = image(tmp_path, *erofs.options(UUID))

    found = erofs.parse(data[: erofs.SUPERBLOCK_OFFSET + erofs.SUPERBLOCK_SIZE])

    assert (found.uuid, found.modified, found.inodes) == (UUID, 0, 2)
    assert found.blocks * found.block_size == len(data)
    assert found.compressors == ("lz4",)


def test_an_image_without_compression_uses_none(tmp_path: Path) -> None:
    found = erofs.parse(image(tmp_path, *erofs.options(UUID, "none")))

    assert found.compressors == ()


def test_a_high_level_makes_a_smaller_image_and_is_the_same_algorithm(tmp_path: Path) -> None:
    assert "-zlz4hc,9" in erofs.options(UUID, "lz4", 9)

    assert erofs.parse(image(tmp_path, *erofs.options(UUID, "lz4", 9))).compressors == ("lz4",)


@pytest.mark.parametrize("data", [b"", bytes(1152), b"\0" * 1024 + b"\xe2\xe1\xf5\xe0"])
def test_what_is_no_superblock_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="no superblock"):
        erofs.parse(data)


def test_an_impossible_block_size_is_refused(tmp_path: Path) -> None:
    data = bytearray(image(tmp_path))
    data[1024 + 12] = 40

    with pytest.raises(IntegrityError, match="block size of 2\\^40"):
        erofs.parse(bytes(data))


@given(st.binary(max_size=1300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    magic = bytes(1024) + erofs.MAGIC.to_bytes(4, "little")
    try:
        assert erofs.parse(magic + data).block_size in (1 << log for log in range(9, 17))
    except IntegrityError as error:
        assert "EROFS" in error.message


def test_the_compressors_of_a_program_are_read_from_its_help() -> None:
    here = subprocess.run(["mkfs.erofs", "--help"], capture_output=True, text=True, check=False)

    assert "lz4" in erofs.compressors(here.stdout + here.stderr)
    assert erofs.compressors("Available compressors are: lz4hc, lz4") == {"lz4", "lz4hc"}
    assert "zstd" in erofs.compressors(
        " -zX[,level=Y] X=compressor\n    lz4\n    deflate[,level=<0-9>]\n    zstd[,level=<1-22>]"
    )
