"""The attributes of a target as a query sees them: as text to match, for JSON, for a BUILD file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from lamina.build.attributes import COMMON, COMMON_ALIASES, Kind
from lamina.build.selects import Joined, Select, leaves
from lamina.build.target import Target
from lamina.core.label import Label

_DEFAULT = "//conditions:default"


def canonical(target: Target, name: str) -> str:
    """The name that targets keep an attribute under."""
    return target.rule.aliases.get(name) or COMMON_ALIASES.get(name, name)


def names(target: Target) -> Iterator[str]:
    """The attributes that mean something, `name` first."""
    yield "name"
    known = target.rule.attributes
    for name in target.attributes:
        attribute = known.get(name) or COMMON.get(name)
        if attribute is None or attribute.kind is not Kind.ANY:
            yield name
    yield "visibility"


def value(target: Target, name: str) -> object:
    """An attribute under any of its names; None where the target has none of this name."""
    if name == "name":
        return target.label.name
    if name == "visibility":
        return target.visibility
    return target.attributes.get(canonical(target, name))


def texts(found: object) -> list[str]:
    """An attribute as text, once for each branch of its selects: `[//a:b, //c:d]`, `1`, `text`."""
    return [_text(leaf) for leaf in leaves(found) if leaf is not None]


def elements(found: object) -> Iterator[str]:
    """The texts in an attribute: of a list each element, of a dict each key and value."""
    for leaf in leaves(found):
        if isinstance(leaf, tuple):
            for element in leaf:
                for part in element if isinstance(element, tuple) else (element,):
                    yield from map(str, part) if isinstance(part, tuple) else (str(part),)
        elif leaf is not None:
            yield str(leaf)


def plain(found: object) -> Any:
    """An attribute for JSON."""
    if isinstance(found, Select):
        entries = {str(key or _DEFAULT): plain(branch) for key, branch in found.branches}
        return {"__type": "selector", "entries": entries}
    if isinstance(found, Joined):
        return {"__type": "concat", "items": [plain(part) for part in found.parts]}
    if isinstance(found, Label):
        return str(found)
    if not isinstance(found, tuple):
        return found
    if any(is_entry(element) for element in found):
        return {str(key): plain(inner) for key, inner in map(entry, found)}
    return [plain(_short(element)) for element in found]


def written(found: object) -> str:
    """An attribute as it is written in a BUILD file, its later lines indented for a rule call."""
    if isinstance(found, Select):
        branches = "".join(
            f"        {_quoted(str(key or _DEFAULT))}: {written(branch)},\n"
            for key, branch in found.branches
        )
        return f"select({{\n{branches}    }})"
    if isinstance(found, Joined):
        return " + ".join(map(written, found.parts))
    if isinstance(found, str | Label):
        return _quoted(str(found))
    if not isinstance(found, tuple):
        return repr(found)
    if any(is_entry(element) for element in found):
        pairs = [f"{_quoted(str(key))}: {written(inner)}" for key, inner in map(entry, found)]
        return "{" + ", ".join(pairs) + "}"
    return "[" + ", ".join(_element(element) for element in found) + "]"


def _element(element: object) -> str:
    short = _short(element)
    if isinstance(short, tuple):
        label, flags = short
        return f"({written(label)}, {written(flags)})"
    return written(short)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _text(leaf: object) -> str:
    if isinstance(leaf, bool):
        return "1" if leaf else "0"
    if not isinstance(leaf, tuple):
        return str(leaf)
    if any(is_entry(element) for element in leaf):
        return "{" + ", ".join(f"{key}={_text(inner)}" for key, inner in map(entry, leaf)) + "}"
    return "[" + ", ".join(_text(_short(element)) for element in leaf) + "]"


def is_entry(element: object) -> bool:
    """Whether it is an entry of a dict: of sources, one that is put under another name."""
    if not isinstance(element, tuple) or len(element) != 2:
        return False
    key, inner = element
    return bool(key) and (not isinstance(inner, Label) or inner.name != key)


def entry(element: object) -> tuple[object, object]:
    """Key and value of an entry."""
    assert isinstance(element, tuple)
    return element[0], element[1]


def _short(element: object) -> object:
    """A source without its path, which its label tells; with its flags where it has some.

    An output without the name that a dict may give it.
    """
    if isinstance(element, tuple) and len(element) == 2 and element[0] == "":
        return element[1]
    if isinstance(element, tuple) and len(element) > 1 and isinstance(element[1], Label):
        return element[1] if len(element) == 2 else element[1:]
    return element
