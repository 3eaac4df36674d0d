"""How Starlark carries a `select()`: as a value of the type of its branches, with a mark in it.

So `+` and `|` work on it as on any list, string or dict, in macros and at the top of .bzl files,
although the interpreter knows nothing of it. The branches wait here until a rule call shows the
mark again. What a macro makes of the elements of a list, as `[":" + x for x in deps]`, it makes of
the mark, which then stands within a text: it is done to each value of each branch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from lamina.core.classes import dataclass

_SIGN = "\0"
_MARK = re.compile("\0select:([0-9]+)\0")
LABEL = (
    "__label__"  # the field that tells the struct of a `Label()` from others, and holds its text
)


@dataclass(frozen=True, slots=True)
class Call:
    """The arguments of a `select()`, as Starlark gave them."""

    branches: tuple[tuple[object, object], ...]  # condition -> value
    no_match_error: str = ""

    def mapped(self, change: Callable[[object], object]) -> Call:
        """The same choice among other values; what is unset stays so."""
        changed = [(key, None if value is None else change(value)) for key, value in self.branches]
        return Call(tuple(changed), self.no_match_error)


class Selects:
    """All calls of `select()` that an interpreter has seen."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def mark(self, call: Call) -> object:
        """What Starlark goes on with in place of a select."""
        text = f"{_SIGN}select:{len(self.calls)}{_SIGN}"
        self.calls.append(call)
        first = next((value for _, value in call.branches if value is not None), None)
        if isinstance(first, list):
            return [text]
        return {text: None} if isinstance(first, dict) and LABEL not in first else text

    def split(self, value: object) -> list[object] | None:
        """The plain values and the calls that a value was joined of; None where it has no mark."""
        if not self.calls:
            return None
        if isinstance(value, str):
            return list(self._of_text(value)) if _SIGN in value else None
        if isinstance(value, list):
            marked = any(isinstance(element, str) and _SIGN in element for element in value)
            return list(self._of_list(value)) if marked else None
        if isinstance(value, dict):
            texts = (text for item in value.items() for text in item if isinstance(text, str))
            return list(self._of_dict(value)) if any(_SIGN in text for text in texts) else None
        return None

    def _of_text(self, text: str) -> Iterator[object]:
        pieces = _MARK.split(text)  # text, number, text, …
        for index, piece in enumerate(pieces):
            if index % 2:
                yield self.calls[int(piece)]
            elif piece:
                yield piece

    def _of_list(self, value: list[object]) -> Iterator[object]:
        plain: list[object] = []
        for element in value:
            match = _MARK.search(element) if isinstance(element, str) else None
            if match is None:
                plain.append(element)
                continue
            if plain:
                yield plain
                plain = []
            yield self.calls[int(match[1])].mapped(_elements(match))
        if plain:
            yield plain

    def _of_dict(self, value: dict[object, object]) -> Iterator[object]:
        plain: dict[object, object] = {}
        for key, entry in value.items():
            match = next((m for m in (_search(key), _search(entry)) if m), None)
            if match is None:
                plain[key] = entry
                continue
            if plain:
                yield plain
                plain = {}
            call = self.calls[int(match[1])]
            yield call if match is not None and _search(key) else call.mapped(_entry(key, match))
        if plain:
            yield plain


def _search(value: object) -> re.Match[str] | None:
    return _MARK.search(value) if isinstance(value, str) else None


def _elements(match: re.Match[str]) -> Callable[[object], object]:
    """Puts each element of a branch, or the one that it is, where the mark was."""
    before, after = match.string[: match.start()], match.string[match.end() :]

    def put(value: object) -> object:
        elements = value if isinstance(value, list) else [value]
        if not before and not after:
            return elements
        return [f"{before}{element}{after}" for element in elements]

    return put


def _entry(key: object, match: re.Match[str]) -> Callable[[object], object]:
    """A branch as the value of one key of a dict."""
    before, after = match.string[: match.start()], match.string[match.end() :]
    return lambda value: {key: f"{before}{value}{after}" if before or after else value}
