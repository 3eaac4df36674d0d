"""Mutators: inputs that are nearly right, since what is all wrong is refused at the first look.

Bytes are changed wherever they are; words of the target's own format are put in; JSON is changed
as a tree, text by lines. Each takes its choices from the given generator alone, so that a seed
gives the same inputs again.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Sequence

Mutator = Callable[[bytes, random.Random], bytes]

_NUMBERS = (0, 1, -1, 255, 4096, 65536, (1 << 31) - 1, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 64)
_TEXTS = (
    "", "/", ".", "..", "../../etc/passwd", "/etc/passwd", "a/../b", "a\0b", "a=b", "\x1b[31m",
    "\ud800", "sha256:" + "0" * 64, "sha256:../../x", "a" * 5000, "é\u202e", "{", "[", '"', "$$",
)  # fmt: skip
_LARGEST = 1 << 20  # bytes of an input


def mutated(
    data: bytes,
    chance: random.Random,
    mutators: Sequence[Mutator],
    words: Sequence[bytes],
    others: Sequence[bytes],
) -> bytes:
    """An input made of another by one to eight changes."""
    for _ in range(1 << chance.randrange(4)):
        if words and chance.random() < 0.25:
            data = _with_word(data, chance, words)
        elif mutators and chance.random() < 0.5:
            data = chance.choice(mutators)(data, chance)
        elif others and chance.random() < 0.1:
            data = _spliced(data, chance.choice(others), chance)
        else:
            data = chance.choice(_BYTES)(data, chance)
    return data[:_LARGEST]


def _place(data: bytes, chance: random.Random) -> tuple[int, int]:
    """A stretch of the data, mostly a short one."""
    start = chance.randrange(len(data) + 1)
    return start, min(len(data), start + chance.choice((1, 2, 4, 8, 32, 512)))


def _flip(data: bytes, chance: random.Random) -> bytes:
    if not data:
        return b"\0"
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]


def _put(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    return data[:at] + chance.randbytes(chance.choice((1, 2, 4, 16))) + data[at:]


def _cut(data: bytes, chance: random.Random) -> bytes:
    start, end = _place(data, chance)
    return data[:start] + data[end:]


def _end(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _twice(data: bytes, chance: random.Random) -> bytes:
    start, end = _place(data, chance)
    return data[:end] + data[start:end] * chance.choice((1, 2, 20)) + data[end:]


def _number(data: bytes, chance: random.Random) -> bytes:
    """A number of the machine's, as binary formats have them, over what is there."""
    size = chance.choice((2, 4, 8))
    value = chance.choice(_NUMBERS) % (1 << 8 * size)
    at = chance.randrange(len(data) + 1)
    order = chance.choice(("little", "big"))
    return data[:at] + value.to_bytes(size, order) + data[at + size :]  # type: ignore[arg-type]


_BYTES: tuple[Mutator, ...] = (_flip, _flip, _put, _cut, _end, _twice, _number)


def _with_word(data: bytes, chance: random.Random, words: Sequence[bytes]) -> bytes:
    start, end = _place(data, chance)
    return data[:start] + chance.choice(words) + data[chance.choice((start, end)) :]


def _spliced(data: bytes, other: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data) + 1)] + other[chance.randrange(len(other) + 1) :]


def lines(data: bytes, chance: random.Random) -> bytes:
    """Text with a line moved, doubled, left out, or ended otherwise."""
    parts = data.split(b"\n")
    at = chance.randrange(len(parts))
    kind = chance.randrange(5)
    if kind == 0:
        parts.insert(chance.randrange(len(parts) + 1), parts[at])
    elif kind == 1:
        del parts[at]
    elif kind == 2:
        parts[at] += b"\r"
    elif kind == 3:
        name, equals, _ = parts[at].partition(b"=")
        text = chance.choice((*_TEXTS, *map(str, _NUMBERS)))
        quoted = json.dumps(text) if chance.random() < 0.7 else text
        parts[at] = name + (equals or b"=") + quoted.encode(errors="replace")
    else:
        parts[at] = chance.choice(parts)
    return b"\n".join(parts)


def documents(data: bytes, chance: random.Random) -> bytes:
    """JSON documents, one a line, of which one is changed somewhere in its tree."""
    parts = data.split(b"\n")
    at = chance.randrange(len(parts))
    try:
        document = json.loads(parts[at])
    except (ValueError, RecursionError):
        return _flip(data, chance)
    try:
        parts[at] = json.dumps(_changed(document, chance)).encode()
    except (ValueError, RecursionError):
        return data
    return b"\n".join(parts)


def _changed(value: object, chance: random.Random, depth: int = 0) -> object:
    """The same tree, but for one of its nodes."""
    if isinstance(value, dict) and value and (depth == 0 or chance.random() < 0.8):
        key = chance.choice(list(value))
        if chance.random() < 0.15:
            return {each: kept for each, kept in value.items() if each != key}
        if chance.random() < 0.05:
            return {**value, chance.choice(_TEXTS): value[key]}
        return {**value, key: _changed(value[key], chance, depth + 1)}
    if isinstance(value, list) and value and chance.random() < 0.8:
        at = chance.randrange(len(value))
        kind = chance.randrange(6)
        if kind == 0:
            return value[:at] + value[at + 1 :]
        if kind == 1:
            return value * chance.choice((2, 50))
        if kind == 2:
            return value[::-1]
        return [*value[:at], _changed(value[at], chance, depth + 1), *value[at + 1 :]]
    return _other(value, chance)


def _other(value: object, chance: random.Random) -> object:
    if isinstance(value, str) and chance.random() < 0.4:
        at = chance.randrange(len(value) + 1)
        return value[:at] + chance.choice(_TEXTS) + value[at + chance.randrange(3) :]
    leaves: tuple[object, ...] = (
        None, True, 1.5, float("nan"), [], {}, [[]], {"a": {}},
        chance.choice(_NUMBERS), chance.choice(_TEXTS), [copy.deepcopy(value)],
    )  # fmt: skip
    return chance.choice(leaves)
