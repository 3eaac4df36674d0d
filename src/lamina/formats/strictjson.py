"""Reads JSON from others: one meaning for one text, and one error for all that is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import NoReturn, TypeVar

from lamina.core.errors import IntegrityError

T = TypeVar("T")


def read(data: bytes, what: str, use: Callable[[Mapping[str, object]], T]) -> T:
    """What `use` makes of an object in JSON; raises IntegrityError that names `what` it is not.

    A name that comes twice in an object is an error: readers differ in which of the two they take.
    """
    try:
        text = data.decode()
        return use(mapping(json.loads(text, object_pairs_hook=_once, parse_constant=_constant)))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityError(f"not {what}: {error!r:.200}") from error


def write(document: Mapping[str, object]) -> bytes:
    """The one text of an object: sorted keys, no white space."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def mapping(value: object) -> Mapping[str, object]:
    """An object; raises TypeError for anything else."""
    if not isinstance(value, dict):
        raise TypeError(f"an object is wanted, not {value!r:.40}")
    return value


def sequence(value: object) -> list[object]:
    """A list; raises TypeError for anything else."""
    if not isinstance(value, list):
        raise TypeError(f"a list is wanted, not {value!r:.40}")
    return value


def text(value: object) -> str:
    """A string that is text; raises TypeError or ValueError for anything else."""
    if not isinstance(value, str):
        raise TypeError(f"a string is wanted, not {value!r:.40}")
    if "\0" in value:
        raise ValueError("a NUL in a text")
    value.encode()  # half a surrogate pair can be written in JSON, but is no text
    return value


def flag(value: object) -> bool:
    """True or false; raises TypeError for anything else."""
    if not isinstance(value, bool):
        raise TypeError(f"true or false is wanted, not {value!r:.40}")
    return value


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object that has a name twice")
    return found


def _constant(word: str) -> NoReturn:
    raise ValueError(f"`{word}` is no number")
