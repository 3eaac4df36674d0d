"""Work in threads: all of it is done, and what goes wrong is told by who waits."""

from __future__ import annotations

from functools import partial

import pytest

from lamina.core import parallel


def test_what_pieces_give_comes_in_their_order() -> None:
    assert parallel.run([partial(int, str(number)) for number in range(20)], 4) == [*range(20)]


def test_the_first_error_is_raised() -> None:
    def fail() -> int:
        raise ValueError("this")

    with pytest.raises(ValueError, match="this"):
        parallel.run([lambda: 1, fail], 1)
