"""The load statements of a file, read from its text: `load("//a:b.bzl", "x", mine = "y")`."""

from __future__ import annotations

import re
from collections.abc import Iterator

_STATEMENT = re.compile(r"^load\s*\(((?:[^)#]|#[^\n]*)*)\)", re.MULTILINE)
_COMMENT = re.compile(r"#[^\n]*")
_STRING = re.compile(r""""[^"\n]*"|'[^'\n]*'""")
_WORD = re.compile(r"""(?:([A-Za-z_]\w*)\s*=\s*)?(?:"([^"\n]*)"|'([^'\n]*)')""")


def loads(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Each file that a text loads from, as written, and its symbols by their names in the text."""
    for statement in _STATEMENT.finditer(text):
        words = _WORD.findall(_COMMENT.sub("", statement[1]))
        pairs = [(name or one or other, one or other) for name, one, other in words]
        if pairs:
            yield pairs[0][1], dict(pairs[1:])


def used(text: str, file: str) -> dict[str, set[str]]:
    """The symbols that a text loads from a file, each with its fields that are used."""
    found: dict[str, set[str]] = {}
    code = _COMMENT.sub("", _STRING.sub("", text))
    for loaded, symbols in loads(text):
        for name, symbol in symbols.items() if loaded == file else ():
            found.setdefault(symbol, set()).update(re.findall(rf"\b{name}\.([A-Za-z_]\w*)", code))
    return found


def source_of(text: str, symbol: str) -> str:
    """The file that a text loads a symbol from, or ""."""
    return next((file for file, symbols in loads(text) if symbol in symbols.values()), "")
