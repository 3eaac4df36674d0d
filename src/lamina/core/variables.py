"""Which variables a program gets from outside, as `--env` says; nothing dear is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from lamina.core.errors import UserError


def chosen(words: Iterable[str], outer: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The variables that `--env` asks for: `A=b`, `A` as it is outside, `A*` all that start so."""
    outside = dict(outer)
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if equals and name:
            found[name] = value
        elif not equals and name.endswith("*"):
            found |= {key: text for key, text in outside.items() if key.startswith(name[:-1])}
        elif not equals and name.isascii() and name.isidentifier():
            found |= {name: outside[name]} if name in outside else {}
        else:
            raise UserError(f"`--env {word}`: not the name of a variable", hint="`NAME=value`")
    return found
