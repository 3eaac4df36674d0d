"""Digests: what sha256sum says, in the two forms that are written down."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.core.digest import EMPTY, Digest
from lamina.core.errors import IntegrityError, UserError

HASH = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # of `abc`, FIPS 180-2


def test_the_digest_of_abc_is_the_one_in_the_standard() -> None:
    assert Digest.of(b"abc") == Digest(HASH, 3)


def test_the_empty_digest_is_the_known_one() -> None:
    assert str(EMPTY) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855/0"


@given(st.binary())
def test_every_digest_reads_back_from_its_text(data: bytes) -> None:
    digest = Digest.of(data)

    assert Digest.parse(str(digest)) == digest
    assert Digest.from_oci(digest.oci, len(data)) == digest
    assert digest.oci == f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_the_short_form_is_the_first_12_digits() -> None:
    assert Digest.of(b"abc").short == "ba7816bf8f01"


def test_digests_sort_by_hash_and_then_size() -> None:
    first, second, third = Digest("0" * 64, 9), Digest("f" * 64, 1), Digest("f" * 64, 2)

    assert sorted([third, first, second]) == [first, second, third]


@pytest.mark.parametrize(
    "text",
    [
        "",
        HASH,
        f"{HASH}/",
        f"{HASH}/-1",
        f"{HASH}/3\n",
        f"{HASH}/٣",
        f"{HASH}/{'9' * 20}",
        f"{HASH.upper()}/3",
        f"{HASH[:-1]}/3",
        f" {HASH}/3",
        f"sha256:{HASH}/3",
    ],
)
def test_other_text_is_no_digest(text: str) -> None:
    with pytest.raises(UserError, match="not a digest") as caught:
        Digest.parse(text)

    assert caught.value.hint == "a digest is `<64 hex digits>/<size>`"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (f"sha256:{HASH}", -1),
        (f"sha512:{HASH}", 3),
        (f"SHA256:{HASH}", 3),
        (f"sha256:{HASH.upper()}", 3),
        (f"sha256:{HASH}\n", 3),
        (f"sha256:{HASH}0", 3),
        (HASH, 3),
        ("sha256:../../../../etc/passwd", 3),
        ("", 0),
    ],
)
def test_a_descriptor_that_could_become_a_wrong_path_is_refused(text: str, size: int) -> None:
    with pytest.raises(IntegrityError, match="not a sha256 digest"):
        Digest.from_oci(text, size)
