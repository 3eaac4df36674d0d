"""The archive of a root file system: known by what was compressed, and compressed anew."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import tarfile

import pytest
import zstandard

from lamina.formats import archive
from lamina.formats.archive import ArchiveError


def tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        for name, size in (("a", 3), ("b", 100_000)):
            info = tarfile.TarInfo(name)
            info.size = size
            made.addfile(info, io.BytesIO(bytes(size)))
    return out.getvalue() + bytes(70_000)  # what stands after the end counts too


PACKED = {
    "": tar(),
    "gz": gzip.compress(tar()),
    "bz2": bz2.compress(tar()),
    "xz": lzma.compress(tar()),
    "zst": zstandard.compress(tar()),
}


@pytest.mark.parametrize("kind", PACKED)
def test_the_digest_is_that_of_what_was_compressed(kind: str) -> None:
    data = PACKED[kind]

    assert archive.compression(io.BytesIO(data)) == kind
    assert archive.plain(io.BytesIO(data), len(data)) == hashlib.sha256(tar()).hexdigest()


@pytest.mark.parametrize("kind", PACKED)
def test_what_is_compressed_anew_holds_the_same_bytes(kind: str) -> None:
    data, out = PACKED[kind], io.BytesIO()

    digest = archive.to_gzip(io.BytesIO(data), len(data), out)

    assert gzip.decompress(out.getvalue()) == tar()
    assert digest == hashlib.sha256(tar()).hexdigest()
    assert out.getvalue()[4:8] == bytes(4)  # no time in it, and no name
    assert out.getvalue()[3] == 0


def test_what_is_no_archive_is_refused() -> None:
    with pytest.raises(ArchiveError, match="neither a tar nor a zip"):
        archive.to_gzip(io.BytesIO(lzma.compress(b"text")), 4, io.BytesIO())
