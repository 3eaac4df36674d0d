"""The page on rules shows what the example has, and names all that .bzl files see."""

from __future__ import annotations

import re
from pathlib import Path

from lamina.build.userrules.definitions import SYMBOLS

_ROOT = Path(__file__).parents[2]
_PAGE = (_ROOT / "docs/user-rules.md").read_text()


def test_every_piece_of_starlark_is_in_the_example() -> None:
    files = [path.read_text() for path in (_ROOT / "examples/own-rules/rules").glob("*.bzl")]
    pieces = re.findall(r"```starlark\n(.*?)```", _PAGE, re.DOTALL)

    assert pieces
    assert [piece for piece in pieces if not any(piece in text for text in files)] == []


def test_every_name_is_on_the_page() -> None:
    assert [name for name in SYMBOLS if f"`{name}`" not in _PAGE] == []
