"""Packs and the advice that names them: what is written is read, and nothing else is believed."""

from __future__ import annotations

import io
import json
import tarfile

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError
from lamina.formats import oci, pack, transfer
from lamina.formats.transfer import Advice, Delta, Pack

LIMIT = 1 << 16


def read(data: bytes, limit: int = LIMIT) -> dict[Digest, bytes]:
    return dict(pack.decode(io.BytesIO(data), limit))


def packed(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return zstandard.compress(out.getvalue())


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_blobs_read_back(blobs: list[bytes]) -> None:
    by_digest = {Digest.of(data): data for data in blobs}

    assert read(pack.encode(by_digest)) == by_digest


def test_the_same_blobs_give_the_same_pack() -> None:
    blobs = {Digest.of(data): data for data in (b"a", b"b", b"c")}

    assert pack.encode(blobs) == pack.encode(dict(reversed(blobs.items())))


def test_what_is_larger_than_wanted_is_passed_over() -> None:
    blobs = {Digest.of(data): data for data in (b"short", b"longer than ten")}

    assert list(read(pack.encode(blobs), 10).values()) == [b"short"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no zstd",
        zstandard.compress(b"no tar" * 200),
        packed((Digest.of(b"a").hash, b"b")),
        packed(("name", b"a")),
        packed(("../../x", b"a")),
        pack.encode({Digest.of(b"a" * 5000): b"a" * 5000})[:-20],
    ],
    ids=["empty", "no zstd", "no tar", "wrong bytes", "no hash", "a path", "cut"],
)
def test_what_is_no_pack_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        read(data)


def test_a_pack_without_end_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "MOST", 1 << 20)
    bomb = packed((Digest.of(b"").hash, bytes(1 << 22)))
    assert len(bomb) < 1000

    with pytest.raises(IntegrityError, match="a pack of more than"):
        read(bomb)


@given(st.binary(max_size=300))
def test_bytes_at_random_are_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        read(data)


digests = st.builds(
    Digest, st.text("0123456789abcdef", min_size=64, max_size=64), st.integers(0, 1 << 40)
)
advices = st.builds(
    Advice,
    st.binary(max_size=50),
    st.lists(
        st.builds(Pack, digests, st.lists(digests, max_size=5).map(transfer.holds)), max_size=3
    ).map(tuple),
    st.lists(st.builds(Delta, digests, digests, digests), max_size=3).map(tuple),
)


@given(advices)
def test_an_advice_reads_back(advice: Advice) -> None:
    assert transfer.decode(transfer.encode(advice).data) == advice


def test_an_advice_names_what_a_repository_must_have() -> None:
    blob = Digest.of(b"pack")
    document = transfer.encode(Advice(b"new", (Pack(blob, transfer.holds([blob])),)))

    assert [child for _, child in oci.children(document.data)] == [Digest.of(b"{}"), blob]
    assert oci.media_type(document.data) == document.media_type == oci.MANIFEST


def test_a_pack_tells_what_it_holds() -> None:
    held, other = Digest.of(b"a"), Digest.of(b"b")

    found = Pack(Digest.of(b""), transfer.holds([held]))

    assert found.has(held)
    assert not found.has(other)


@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    ["artifactType", "annotations", "layers", "digest", "size", "mediaType"]
                ),
                inner,
            )
        ),
    )
)
def test_any_other_document_is_no_advice(document: object) -> None:
    with pytest.raises(IntegrityError):
        transfer.decode(json.dumps(document).encode())
