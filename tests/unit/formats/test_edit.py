"""An edit as text: what `launcher/edit.c` reads, and no more than nodes can be sent."""

from __future__ import annotations

import base64
from hashlib import blake2s

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.formats import carried, edit

OVER = [digit * 64 for digit in "0123456789abcdef"]
IMAGE = st.binary(min_size=1, max_size=2000)


@given(st.integers(1, edit.OVER), IMAGE)
def test_it_says_what_lies_over_which_packages(count: int, image: bytes) -> None:
    text = edit.encode(OVER[:count], "f" * 64, "v1.2-3", image)

    form, over, package, version, check, found = text.split(":")
    assert (form, package, version) == ("1", "f" * 64, "v1.2-3")
    assert over.split("+") == OVER[:count]
    assert base64.b64decode(found, validate=True) == image
    assert check == blake2s(found.encode()).hexdigest()


@given(st.lists(IMAGE), IMAGE)
def test_blobs_are_read_without_it(blobs: list[bytes], image: bytes) -> None:
    own = carried.encode(blobs) if blobs else ""
    text = carried.with_edit(own, edit.encode(OVER[:1], "f" * 64, "v1", image))

    assert carried.decode(text) == blobs
    assert not carried.is_coming(text)
    assert carried.is_coming(carried.coming(text))
    assert carried.decode(carried.coming(text)) == blobs
    assert not set(text) & set(" \t\n\"'`$&;|<>()*?[]~#!\\")  # nothing that a shell would read


def test_what_is_too_much_is_refused() -> None:
    assert edit.encode(OVER[:1], "f" * 64, "v1", bytes(edit.LARGEST))
    for over, image in (
        (OVER[:1], bytes(edit.LARGEST + 1)), (OVER[:1], b""),
        ([*OVER, "0" * 64], b"1"), ([], b"1"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="one image"):
            edit.encode(over, "f" * 64, "v1", image)


def test_without_an_edit_blobs_are_as_they_were() -> None:
    assert carried.with_edit("1:text", "") == "1:text"
    assert carried.with_edit("", "") == ""
    assert carried.coming("") == ""


def test_the_longest_text_is_one_that_linux_takes() -> None:
    """MAX_ARG_STRLEN is 128 KiB, with the variable's name and its end."""
    text = edit.encode(OVER, "f" * 64, "v" * 128, bytes(edit.LARGEST))
    assert carried.LONGEST + len(text) + len("LAMINA_CARRIED=w,") + 1 < 1 << 17
