"""JSON in BUILD and .bzl files, as far as the interpreter's own `json` does not go."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence

from lamina.build.evaluation import CallFault

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[][{}:,]|[^\s][^\s\]},]*')


def fault(text: object) -> str:
    """Why a text is not JSON that the interpreter can decode, or "".

    It ends the program for a number that is too large, and takes one of two equal keys.
    """
    if not isinstance(text, str):
        return f"`json.decode` takes a string, not `{text}`"
    try:
        json.loads(text, parse_float=_finite, parse_constant=_finite, object_pairs_hook=_distinct)
    except json.JSONDecodeError as error:
        return f"not JSON, at line {error.lineno}, column {error.colno}: {error.msg.lower()}"
    except (ValueError, RecursionError) as error:
        return f"not JSON that can be read: {error}"
    return ""


def indent(text: str, prefix: str, indent: str) -> str:
    """A text of JSON with an element a line, its words as they are; raises CallFault for others."""
    wrong = fault(text)
    if wrong:
        raise CallFault(wrong)
    found, depth = [""], 0
    for token in _TOKEN.findall(text):
        if token in "]}":
            depth -= 1
            if found[-1] not in ("[", "{"):
                found.append(f"\n{prefix}{indent * depth}")
        elif found[-1] in ("[", "{", ","):
            found.append(f"\n{prefix}{indent * depth}")
        if token in "[{":
            depth += 1
        found.append(token)
        if token == ":":
            found.append(" ")
    return "".join(found)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number `{text}` is too large, or none")
    return number


def _distinct(pairs: Sequence[tuple[str, object]]) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise ValueError(f"an object has two keys `{key}`")
        seen.add(key)
