"""Reads JSON from others: one meaning for one text, and one error for all that is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import NoReturn, TypeVar

from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError

LARGEST = 16 << 20  # bytes of a document; a package of 20,000 layers has 8 MB

T = TypeVar("T")


def read(data: bytes, what: str, use: Callable[[Mapping[str, object]], T]) -> T:
    """What `use` makes of an object in JSON; raises IntegrityError that names `what` it is not.

    A name that comes twice in an object is an error: readers differ in which of the two they take.
    """
    if len(data) > LARGEST:
        raise IntegrityError(f"not {what}: it has {len(data)} bytes, more than {LARGEST}")
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


def mappings(value: object) -> list[Mapping[str, object]]:
    """A list of objects; raises TypeError for anything else."""
    return [mapping(item) for item in sequence(value)]


def number(value: object) -> int:
    """A size; raises TypeError for anything else."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise TypeError(f"a size is wanted, not {value!r:.40}")
    return value


def digest(descriptor: Mapping[str, object]) -> Digest:
    """The digest that a descriptor names; raises IntegrityError for one of another kind."""
    return Digest.from_oci(text(descriptor["digest"]), number(descriptor["size"]))


def text(value: object) -> str:
    """A string that is text; raises TypeError or ValueError for anything else."""
    if not isinstance(value, str):
        raise TypeError(f"a string is wanted, not {value!r:.40}")
    if "\0" in value:
        raise ValueError("a NUL in a text")
    value.encode()  # half a surrogate pair can be written in JSON, but is no text
    return value


def line(value: object) -> str:
    """A string that a terminal shows as it is; raises TypeError or ValueError for anything else."""
    found = text(value)
    if not found.isprintable():
        raise ValueError(f"a control character in {found!r:.80}")
    return found


def flag(value: object) -> bool:
    """True or false; raises TypeError for anything else."""
    if not isinstance(value, bool):
        raise TypeError(f"true or false is wanted, not {value!r:.40}")
    return value


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has two values of one name")
    return found


def _constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number in JSON")
