"""Reads what a compiler says it read: `x.o: x.cc x.h`, a rule of a Makefile, as of `gcc -MD`.

A backslash before a newline goes on in the next line, before a space or `#` it stands for that
character; `$$` is a dollar sign. Source: the manual of GNU Make, "Rule Syntax", and gcc's `-MD`.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping

from lamina.core.tree import Symlink, Tree

_ROOT = "/work"  # where an action runs: compilers name some files by their whole path
_LINKS = 40  # that a path may lead over, as in the kernel
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


def used(text: str, inputs: Tree, *, anywhere: bool = False) -> list[str]:
    """Those of the inputs that a depfile names; the machine's own headers are none.

    It may name a file by way of links, or what these lead to: so every link counts as read. Of an
    action that ran `anywhere`, a whole path counts for each input that it may be.
    """
    links = {path: node.target for path, node in inputs.items() if isinstance(node, Symlink)}
    found = dict.fromkeys(links)
    for path in prerequisites(text):
        path = path.removeprefix(f"{_ROOT}/")
        real = _followed(path, links) if links else path
        if real in inputs:
            found[real] = None
        elif anywhere and path.startswith("/"):
            found |= dict.fromkeys(end for end in _ends(path) if end in inputs)
    return list(found)


def _ends(path: str) -> list[str]:
    """The paths that a whole one may be below an unknown folder."""
    parts = path.strip("/").split("/")
    return ["/".join(parts[start:]) for start in range(len(parts))]


def _followed(path: str, links: Mapping[str, str]) -> str:
    """Where a path leads; "" for one that leads around in a circle."""
    for _ in range(_LINKS):
        parts = path.split("/")
        starts = ("/".join(parts[: count + 1]) for count in range(len(parts)))
        link = next((start for start in starts if start in links), None)
        if link is None:
            return path
        target = posixpath.join(posixpath.dirname(link), links[link], path[len(link) + 1 :])
        path = posixpath.normpath(target).removeprefix(f"{_ROOT}/")
    return ""
