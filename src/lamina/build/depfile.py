"""Reads what a compiler says it read: `x.o: x.cc x.h`, a rule of a Makefile, as of `gcc -MD`.

A backslash before a newline goes on in the next line, before a space or `#` it stands for that
character; `$$` is a dollar sign. Source: the manual of GNU Make, "Rule Syntax", and gcc's `-MD`.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Container

_WORD = re.compile(r"(?:\\[^\n]|\$\$|[^\s\\])+")
_ESCAPE = re.compile(r"\\([ #\\])|\$\$")


def prerequisites(text: str) -> list[str]:
    """The files behind the colons of all rules, normalised, in order, each once."""
    found: dict[str, None] = {}
    for line in text.replace("\\\r\n", " ").replace("\\\n", " ").splitlines():
        _, colon, rest = line.partition(": ")
        if not colon:
            continue  # `x.h:` alone, which -MP writes for headers that may vanish
        for word in _WORD.findall(rest):
            path = _ESCAPE.sub(lambda match: match[1] or "$", word)
            found[posixpath.normpath(path)] = None
    return list(found)


def used(text: str, inputs: Container[str]) -> list[str]:
    """Those of the inputs that a depfile names; the machine's own headers are none."""
    return [path for path in prerequisites(text) if path in inputs]
