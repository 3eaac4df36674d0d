"""What every store does before it hands out bytes."""

from __future__ import annotations

import pytest

from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError
from lamina.store.blobs import verified

ABC = Digest("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", 3)


def test_bytes_that_match_their_name_are_handed_out() -> None:
    assert verified(ABC, b"abc") == b"abc"


@pytest.mark.parametrize("data", [b"", b"ab", b"abd", b"abcd"])
def test_bytes_that_do_not_match_their_name_are_not(data: bytes) -> None:
    with pytest.raises(IntegrityError, match=f"blob `{ABC.hash}` does not match its name"):
        verified(ABC, data)
