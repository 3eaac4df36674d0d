"""JSON of plain values, where the module `json` is too dear: it imports `re`.

The same text as `json.dumps(value, separators=(",", ":"))`.
"""

from __future__ import annotations

# What `json` itself uses.
from _json import encode_basestring_ascii


def encode(value: object) -> str:
    """A value of strings, booleans, finite numbers, lists and dictionaries as JSON."""
    if isinstance(value, str):
        text: str = encode_basestring_ascii(value)
        return text
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{encode(key)}:{encode(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(encode, value)) + "]"
    raise TypeError(f"no plain value: {value!r}")
