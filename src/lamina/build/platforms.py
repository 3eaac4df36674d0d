"""Buck's attributes of platforms: `platform_srcs = [("linux", ["a.cc"]), ("windows", ["b.cc"])]`.

Each pair has a regular expression, which is looked for in the name of the platform, and what is
then added to the attribute without `platform_` in its name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Container, Mapping
from functools import cache

_WORD = "platform_"


@cache
def _name() -> str:
    """What Buck calls this machine."""
    return f"linux-{os.uname().machine}"


def settled(arguments: Mapping[str, object], known: Container[str]) -> Mapping[str, object]:
    """The arguments of a rule call, what holds for this platform put to that for all.

    What is not written as such an attribute is left to be told of as an unknown one.
    """
    found: dict[str, object] | None = None
    for name, value in arguments.items():
        base = name.replace(_WORD, "", 1)
        if base is name or base == name or name in known or base not in known:
            continue
        chosen = _chosen(value)
        if chosen is None:
            continue
        found = dict(arguments) if found is None else found
        del found[name]
        found[base] = _joined(found.get(base), chosen)
    return arguments if found is None else found


def _chosen(value: object) -> list[object] | None:
    """What the pairs whose expression is in the platform's name have; None for another value."""
    if not isinstance(value, list) or not all(map(_is_pair, value)):
        return None
    return [chosen for expression, chosen in value if re.search(expression, _name())]


def _is_pair(value: object) -> bool:
    if not isinstance(value, list | tuple) or len(value) != 2 or not isinstance(value[0], str):
        return False
    try:
        re.compile(value[0])
    except re.error:
        return False
    return True


def _joined(value: object, more: list[object]) -> object:
    for each in more:
        if value is None:
            value = each
        elif isinstance(value, list) and isinstance(each, list):
            value = [*value, *each]
        elif isinstance(value, dict) and isinstance(each, dict):
            value = {**value, **each}
    return value
