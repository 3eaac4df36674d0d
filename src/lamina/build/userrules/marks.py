"""Marks in a .bzl file the places where Starlark's own values do not do what rules expect.

A target is a struct, and no struct of the interpreter can be indexed or has a text of its own. So
`dep[Info]`, `Info in dep` and `"%s" % label` are evaluated as

    lamina_at(dep, Info)[Info]    Info in lamina_at(dep)    "%s" % lamina_text(label)

where these functions give any other value back as it is. Lines stay lines; columns are mapped back.
"""

from __future__ import annotations

import ast
import re
import warnings
from bisect import bisect_right
from collections.abc import Iterator

from lamina.build.faults import Place
from lamina.core.classes import dataclass

AT = "lamina_at"
TEXT = "lamina_text"
_WORTHWHILE = re.compile(r"[\w\])]\[[A-Za-z_][\w.]*\]|\bin [A-Za-z_]|[\"'] ?\\?\s*% ?|\.format\(")


@dataclass(frozen=True, slots=True)
class Marked:
    """A text with marks in it, and where they are."""

    text: str
    inserted: dict[int, list[tuple[int, int]]]  # line -> (column in the text, characters before)

    def original(self, place: Place) -> Place:
        """The place in the text as it was written."""
        marks = self.inserted.get(place.line)
        if not marks or not place.column:
            return place
        index = bisect_right(marks, (place.column - 1, 1 << 30)) - 1
        before = marks[index][1] if index >= 0 else 0
        return Place(place.path, place.line, place.column - before)


@dataclass(frozen=True, slots=True)
class _Insertion:
    line: int
    column: int
    closes: bool
    width: int  # of what it wraps: of several at one point, the widest opens first, closes last
    text: str

    @property
    def order(self) -> tuple[int, int, bool, int]:
        return (self.line, self.column, not self.closes, self.width * (1 if self.closes else -1))


def mark(text: str) -> Marked:
    """The text with its marks; as it is where it needs none, or where Python cannot read it."""
    if not _WORTHWHILE.search(text):
        return Marked(text, {})
    tree = parsed(text)
    if tree is None:
        return Marked(text, {})
    lines = text.split("\n")
    found = sorted(_insertions(tree, lines), key=lambda insertion: insertion.order)
    inserted: dict[int, list[tuple[int, int]]] = {}
    for insertion in found:
        marks = inserted.setdefault(insertion.line, [])
        before = marks[-1][1] if marks else 0
        after = before + len(insertion.text)
        marks.append((insertion.column + after, after))
    for insertion in reversed(found):
        line, column = lines[insertion.line - 1], insertion.column
        lines[insertion.line - 1] = line[:column] + insertion.text + line[column:]
    return Marked("\n".join(lines), inserted)


def parsed(text: str) -> ast.Module | None:
    """The syntax tree of a .bzl file; None where it is no Python."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as of `\d` in a string, which Starlark permits
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _insertions(tree: ast.AST, lines: list[str]) -> Iterator[_Insertion]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            if _is_name(node.slice):
                yield from _wrap(node.value, lines, AT, f", {ast.unparse(node.slice)}")
            elif isinstance(node.slice, ast.Subscript | ast.Call):
                yield from _wrap(node.value, lines, AT)
        elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
            if _is_name(node.left) and not isinstance(node.comparators[0], ast.List | ast.Tuple):
                yield from _wrap(node.comparators[0], lines, AT)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
            if not isinstance(node.right, ast.Constant) and not _is_number(node.left):
                yield from _wrap(node.right, lines, TEXT)
        elif isinstance(node, ast.Call) and _is_format(node.func):
            values = [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg)]
            for value in values:
                if not isinstance(value, ast.Constant | ast.Starred):
                    yield from _wrap(value, lines, TEXT)


def _wrap(node: ast.expr, lines: list[str], function: str, rest: str = "") -> Iterator[_Insertion]:
    """A call of the function around an expression."""
    last, end = node.end_lineno or node.lineno, node.end_col_offset or 0
    width = (last - node.lineno) * 100_000 + end - node.col_offset
    start = _characters(lines[node.lineno - 1], node.col_offset)
    yield _Insertion(node.lineno, start, False, width, f"{function}(")
    yield _Insertion(last, _characters(lines[last - 1], end), True, width, f"{rest})")


def _characters(line: str, offset: int) -> int:
    """Python counts columns in bytes, Starlark in characters."""
    return offset if line.isascii() else len(line.encode()[:offset].decode(errors="replace"))


def _is_name(node: ast.expr) -> bool:
    """Whether an expression is a name, perhaps with dots: naming it twice does no harm."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name)


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and not isinstance(node.value, str)


def _is_format(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "format"
