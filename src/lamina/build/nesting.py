"""Expressions and blocks that lie too deep in each other, found before they are parsed.

The interpreter of Starlark goes down into them on the stack of the process, which ends where that
is used up: from 1,000 to 8,000 levels on, by what they are made of. A level takes a word, a bracket
or an operator, so the number of these tells at once that nearly all files are shallow.
"""

from __future__ import annotations

import re

from lamina.build.faults import Fault, FaultReport, Place

_MOST = 500
_NOT_CODE = re.compile(
    r'"""(?:[^\\]|\\.)*?"""|\'\'\'(?:[^\\]|\\.)*?\'\'\'|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\''
    r"|#[^\n]*",
    re.DOTALL,
)
_STATEMENT = re.compile(r"\n(?=[^\s)\]}])")  # what begins one at the left edge
_LEVEL = re.compile(r"[(\[{]|[-+~*/%|&^.]|\b(?:not|and|or|if|elif|for|lambda)\b")
_TOKEN = re.compile(rf"\n *|[)\]}},]|{_LEVEL.pattern}")


def check(path: str, text: str) -> None:
    """Raises a FaultReport for a text that is too deep."""
    if len(text) <= _MOST:
        return
    line = 1
    for statement in _STATEMENT.split(text):
        if len(statement) > _MOST:
            code = _NOT_CODE.sub("", statement)
            if len(_LEVEL.findall(code)) + code.count("\n " + " " * _MOST) > _MOST and _deep(code):
                message = f"more than {_MOST} expressions or blocks lie in each other"
                hint = "give some of them names of their own"
                raise FaultReport([Fault(Place(path, line), message, hint)])
        line += statement.count("\n") + 1


def _deep(code: str) -> bool:
    """Whether a statement has more levels than there may be; rather too many than too few."""
    outer: list[int] = []  # levels of what a bracket lies in
    levels = branches = 0
    for match in _TOKEN.finditer(code):
        token = match[0]
        if token in "([{":
            outer.append(levels)
            levels += 1
        elif token in ")]}":
            levels = outer.pop() + 1 if outer else 0  # what follows may be a call of a call
        elif token == ",":
            levels = outer[-1] + 1 if outer else levels
        elif token[0] == "\n":
            levels = levels if outer else len(token) - 1 + branches
        else:
            branches += token == "elif"
            levels += 1
        if levels > _MOST:
            return True
    return False
