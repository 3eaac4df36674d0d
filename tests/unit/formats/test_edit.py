"""An edit as text: what `launcher/edit.c` reads, and no more than nodes can be sent."""

from __future__ import annotations

import base64
from hashlib import blake2s

from hypothesis import given
from hypothesis import strategies as st

from lamina.formats import carried, edit

OVER = [digit * 64 for digit in "0123456789abcdef"]
IMAGES = st.lists(st.binary(min_size=1, max_size=2000), min_size=1, max_size=edit.MOST)


@given(st.integers(1, edit.OVER), IMAGES)
def test_it_says_what_lies_over_which_packages(count: int, images: list[bytes]) -> None:
    text = edit.encode(OVER[:count], "f" * 64, "v1.2-3", images)

    form, over, package, version, check, *found = text.split(":")
    assert (form, package, version) == ("1", "f" * 64, "v1.2-3")
    assert over.split("+") == OVER[:count]
    assert [base64.b64decode(each, validate=True) for each in found] == images
    assert check == blake2s(":".join(found).encode()).hexdigest()


@given(IMAGES)
def test_blobs_are_read_without_it(images: list[bytes]) -> None:
    text = carried.with_edit(carried.encode(images), edit.encode(OVER[:1], "f" * 64, "v1", images))

    assert carried.decode(text) == images
    assert not set(text) & set(" \t\n\"'`$&;|<>()*?[]~#!\\")  # nothing that a shell would read


def test_what_is_too_much_is_none() -> None:
    fits = edit.LONGEST * 3 // 4 - 200

    assert edit.encode(OVER[:1], "f" * 64, "v1", [bytes(fits)])
    assert not edit.encode(OVER[:1], "f" * 64, "v1", [bytes(fits + 100)])
    assert not edit.encode(OVER[:1], "f" * 64, "v1", [b"1"] * (edit.MOST + 1))
    assert not edit.encode([*OVER, "0" * 64], "f" * 64, "v1", [b"1"])
    assert not edit.encode([], "f" * 64, "v1", [b"1"])
    assert not edit.encode(OVER[:1], "f" * 64, "v1", [])


def test_without_blobs_there_is_no_edit() -> None:
    assert carried.with_edit("", "1:text") == ""
    assert carried.with_edit("1:text", "") == "1:text"


def test_the_longest_text_is_one_that_linux_takes() -> None:
    """MAX_ARG_STRLEN is 128 KiB, with the variable's name and its end."""
    assert carried.LONGEST + edit.LONGEST + len("LAMINA_CARRIED=,") + 1 < 1 << 17
