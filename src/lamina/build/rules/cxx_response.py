"""Response files: a command line that would be too long for the kernel goes into a file."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lamina.core.action import Artifact, Literal

_MOST = 100_000  # bytes; the kernel takes 128 KiB in one word and about 2 MiB in all
_FILE = ".lamina-arguments"
_SPECIAL = re.compile(r"""([\s'"\\])""")


def shortened(words: Sequence[str]) -> tuple[list[str], list[tuple[str, Artifact]]]:
    """The words, or `@file` and the file they are in; gcc, clang, ar and ld read the same form."""
    if sum(len(word) + 1 for word in words) <= _MOST:
        return list(words), []
    text = "".join(f"{_quoted(word)}\n" for word in words)
    return [f"@{_FILE}"], [(_FILE, Literal(text.encode()))]


def _quoted(word: str) -> str:
    return _SPECIAL.sub(r"\\\1", word) if word else '""'
