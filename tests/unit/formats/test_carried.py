"""Blobs as a variable: they come out as they went in, and nothing else does any harm."""

from __future__ import annotations

import base64
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.core.errors import IntegrityError
from lamina.formats import carried

BLOBS = st.lists(st.binary(max_size=2000), max_size=8)


@given(BLOBS)
def test_blobs_are_read_as_they_were_written(blobs: list[bytes]) -> None:
    text = carried.encode(blobs)

    assert text.isascii()
    assert text.isprintable()
    assert carried.decode(text) == blobs


def test_the_form_is_a_stream_of_zlib_in_base64() -> None:
    text = carried.encode([b"one", b""])

    form, _, packed = text.partition(":")
    assert form == "1"
    assert zlib.decompress(base64.b64decode(packed)) == b"\3\0\0\0one\0\0\0\0"


@given(BLOBS, st.data())
def test_damage_is_told_or_gives_other_bytes(blobs: list[bytes], data: st.DataObject) -> None:
    """Nothing but IntegrityError is raised, whatever has become of the text."""
    text = carried.encode(blobs)
    at = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.characters(codec="utf-8"))
    for damaged in (text[:at], text[:at] + letter + text[at + 1 :], text + letter):
        try:
            found = carried.decode(damaged)
        except IntegrityError:
            continue
        assert damaged == text or found != blobs or zlib_of(damaged) == zlib_of(text)


def zlib_of(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text[2:]))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "2:eJwDAAAAAAE=",
        "1:!",
        "1:é",
        "1:\udcff",
        "1:AAAA",
        "1:" + base64.b64encode(zlib.compress(b"\3\0\0\0on")).decode(),
        "1:" + base64.b64encode(zlib.compress(b"\3\0")).decode(),
        "1:" + base64.b64encode(zlib.compress(b"") + b"more").decode(),
        "1:" + base64.b64encode(zlib.compress(b"\0" * 400)[:-1]).decode(),
    ],
)
def test_what_is_no_such_text_is_told(text: str) -> None:
    with pytest.raises(IntegrityError, match="came with a job"):
        carried.decode(text)


def test_few_letters_do_not_become_many_bytes() -> None:
    bomb = base64.b64encode(zlib.compress(bytes(1 << 24))).decode()
    assert len(bomb) < carried.LONGEST

    with pytest.raises(IntegrityError, match="another length"):
        carried.decode(f"1:{bomb}")


def test_as_much_as_fits_is_taken() -> None:
    noise = random.Random(7).randbytes(carried.LONGEST)
    fits = carried.LONGEST * 3 // 4 - 64

    assert carried.decode(carried.encode([noise[:fits]])) == [noise[:fits]]
    assert carried.encode([noise[: fits + 128]]) == ""
    assert carried.encode([bytes(carried.MOST - 4)]) != ""
    assert carried.encode([bytes(carried.MOST - 3)]) == ""
    assert carried.decode(carried.encode([bytes(carried.MOST - 4)])) == [bytes(carried.MOST - 4)]
    with pytest.raises(IntegrityError):
        carried.decode("1:" + "A" * carried.LONGEST)
