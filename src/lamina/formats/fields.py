"""Reading JSON of others field by field: each is of its type, or there is an error that says so.

Readers raise TypeError and ValueError, which `read` turns into one IntegrityError.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TypeVar

from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError

LARGEST = 16 << 20  # bytes of a document; a package of 20,000 layers has 8 MB

T = TypeVar("T")


def encode(document: Mapping[str, object]) -> bytes:
    """A document with sorted keys and no white space, so that it has one digest."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def read(data: bytes, what: str, use: Callable[[Mapping[str, object]], T]) -> T:
    """What `use` makes of a document; raises IntegrityError where that is malformed."""
    if len(data) > LARGEST:
        raise IntegrityError(f"not a {what}: it has {len(data)} bytes, more than {LARGEST}")
    try:
        found = json.loads(data, object_pairs_hook=_object, parse_constant=_no_number)
        return use(mapping(found))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityError(f"not a {what}: {error!r:.200}") from error


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Of two values of one name, another reader might take the other one."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has two values of one name")
    return found


def _no_number(text: str) -> object:
    raise ValueError(f"{text} is no number in JSON")


def digest(descriptor: Mapping[str, object]) -> Digest:
    """The digest that a descriptor names."""
    return Digest.from_oci(text(descriptor["digest"]), number(descriptor["size"]))


def mapping(value: object) -> Mapping[str, object]:
    """An object."""
    if not isinstance(value, dict):
        raise TypeError(f"an object is wanted, not {value!r:.40}")
    return value


def sequence(value: object) -> list[object]:
    """A list."""
    if not isinstance(value, list):
        raise TypeError(f"a list is wanted, not {value!r:.40}")
    return value


def mappings(value: object) -> list[Mapping[str, object]]:
    """A list of objects."""
    return [mapping(item) for item in sequence(value)]


def text(value: object) -> str:
    """A string."""
    if not isinstance(value, str):
        raise TypeError(f"a string is wanted, not {value!r:.40}")
    if "\0" in value:
        raise ValueError("a NUL in a text")
    value.encode()  # half a surrogate pair can be written in JSON, but is no text
    return value


def shown(value: object) -> str:
    """A text that is shown to people: on a terminal, control characters would act."""
    found = text(value)
    if not found.isprintable():
        raise ValueError(f"a control character in {found!r:.80}")
    return found


def flag(value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise TypeError(f"true or false is wanted, not {value!r:.40}")
    return value


def number(value: object) -> int:
    """A size."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise TypeError(f"a size is wanted, not {value!r:.40}")
    return value
