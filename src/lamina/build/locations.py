"""Finds in the text of a BUILD file the call, attribute or list element that a fault is about.

Only used when there is a fault to report. Starlark is nearly a subset of Python, so Python's own
parser reads it; where it cannot, places are less exact.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterator

from lamina.build.faults import Place


class SourceMap:
    """The syntax tree of one BUILD or .bzl file."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self._lines = text.splitlines()
        try:
            self.tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            self.tree = ast.Module([], [])

    def place(self, node: ast.expr | ast.keyword) -> Place:
        """Where a node starts; Python counts columns in bytes, people in characters."""
        before = self._lines[node.lineno - 1].encode()[: node.col_offset]
        return Place(self.path, node.lineno, len(before.decode(errors="replace")) + 1)

    def calls_named(self, name: str) -> list[ast.Call]:
        """The calls with `name = "<name>"`."""
        return [
            call
            for call in self.calls()
            if any(k.arg == "name" and _is_text(k.value, name) for k in call.keywords)
        ]

    def calls(self) -> Iterator[ast.Call]:
        """Every call, outer ones first."""
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.Call))

    def call_at(self, place: Place) -> ast.Call | None:
        """The outermost call that starts at a place; column 0 stands for any."""
        for call in self.calls():
            here = self.place(call)
            if here.line == place.line and place.column in (0, here.column):
                return call
        return None

    def within(
        self,
        call: ast.Call,
        attributes: Collection[str],
        is_it: Callable[[str], bool] | None = None,
    ) -> Place:
        """The string in the given attributes of a call, else the attribute, else the call."""
        keywords = [k for k in call.keywords if k.arg in attributes]
        others = [k for k in call.keywords if k.arg != "name" and k not in keywords]
        for keyword in (*keywords, *others) if is_it else ():
            for node in self.strings(keyword.value):
                if is_it and isinstance(node.value, str) and is_it(node.value):
                    return self.place(node)
        return self.place(keywords[0]) if keywords else self.place(call)

    def string(self, within: ast.AST, text: str) -> Place | None:
        """The place of a string in an expression."""
        return next((self.place(n) for n in self.strings(within) if n.value == text), None)

    def strings(self, within: ast.AST) -> list[ast.Constant]:
        """The strings in an expression, in the order of the text."""
        found = [n for n in ast.walk(within) if isinstance(n, ast.Constant)]
        texts = [node for node in found if isinstance(node.value, str)]
        return sorted(texts, key=lambda node: (node.lineno, node.col_offset))

    def unbound(self) -> list[ast.Name]:
        """Names that are used but that nothing in the file binds, in the order of the text."""
        names = [node for node in ast.walk(self.tree) if isinstance(node, ast.Name)]
        bound = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
        bound.update(self.symbols())
        bound.update(node.arg for node in ast.walk(self.tree) if isinstance(node, ast.arg))
        free = [node for node in names if node.id not in bound]
        return sorted(free, key=lambda node: (node.lineno, node.col_offset))

    def symbols(self) -> set[str]:
        """What the file binds at its top: functions, variables and loaded symbols."""
        names = {node.name for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef)}
        for statement in self.tree.body:
            if isinstance(statement, ast.Assign):
                names.update(
                    node.id
                    for target in statement.targets
                    for node in ast.walk(target)
                    if isinstance(node, ast.Name)
                )
        for load in (call for call in self.calls() if _is_load(call)):
            names.update(str(a.value) for a in load.args[1:] if isinstance(a, ast.Constant))
            names.update(k.arg for k in load.keywords if k.arg)
        return names


def _is_load(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id == "load"


def _is_text(node: ast.expr, text: str) -> bool:
    return isinstance(node, ast.Constant) and node.value == text
