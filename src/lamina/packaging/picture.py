"""Layers as a picture: an SVG of rectangles, as large as their layers, as dark as they change.

The rectangles are laid out as a squarified treemap (Bruls, Huizing, van Wijk, "Squarified
Treemaps", 2000): rows along the shorter side, each as long as its rectangles get squarer by it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from lamina.core.classes import dataclass

WIDTH, HEIGHT = 1200, 720
_HEAD = 34  # above the rectangles
_TEXT = 7.0  # width of a letter
_LINE = 15
_PALE, _DARK = (236, 240, 246), (196, 78, 20)  # a layer that never changes, and one that often does


@dataclass(frozen=True, slots=True)
class Box:
    """One layer, and what is said of it."""

    title: str
    size: int  # bytes; what its area stands for
    churn: float  # part of the commits that touch it, from 0 to 1
    lines: tuple[str, ...] = ()  # of text in it, as far as there is room
    parts: tuple[int, ...] = ()  # sizes of the targets in it


@dataclass(frozen=True, slots=True)
class Area:
    """A rectangle of the picture."""

    x: float
    y: float
    width: float
    height: float


def draw(title: str, boxes: Sequence[Box]) -> str:
    """The picture; the largest layer comes first."""
    boxes = sorted(boxes, key=lambda box: (-box.size, box.title))
    areas = squarified([max(box.size, 1) for box in boxes], Area(0, _HEAD, WIDTH, HEIGHT))
    shown = "\n".join(_box(box, area) for box, area in zip(boxes, areas, strict=True))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT + _HEAD}" '
        f'width="{WIDTH}" height="{HEIGHT + _HEAD}" font-family="sans-serif" font-size="12">\n'
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n'
        f'<text x="8" y="22" font-size="15">{escape(title)}</text>\n{shown}\n</svg>\n'
    )


def squarified(sizes: Sequence[int], whole: Area) -> list[Area]:
    """An area for each size, in order and of the same share of the whole; largest sizes first."""
    found: list[Area] = []
    rest, left = whole, float(sum(sizes))
    start = 0
    while start < len(sizes):
        end = _row(sizes, start, rest, left)
        row = sizes[start:end]
        share = sum(row) / left
        found += _laid(row, rest, share)
        rest = _remaining(rest, share)
        left -= sum(row)
        start = end
    return found


def _row(sizes: Sequence[int], start: int, rest: Area, left: float) -> int:
    """Where the row ends that begins here."""
    short, scale = min(rest.width, rest.height), rest.width * rest.height / left
    end, best = start + 1, math.inf
    while end <= len(sizes):
        total = sum(sizes[start:end]) * scale
        depth = total / short if short else 0.0
        lengths = [
            size * scale / depth if depth else 0.0 for size in (sizes[start], sizes[end - 1])
        ]
        worst = max(max(depth, each) / max(min(depth, each), 1e-9) for each in lengths)
        if worst > best:
            break
        end, best = end + 1, worst
    return end - 1


def _laid(row: Sequence[int], rest: Area, share: float) -> Iterator[Area]:
    total, reached = sum(row), 0
    for size in row:
        begin, part = reached / total, size / total
        if rest.width >= rest.height:
            y = rest.y + begin * rest.height
            yield Area(rest.x, y, rest.width * share, rest.height * part)
        else:
            x = rest.x + begin * rest.width
            yield Area(x, rest.y, rest.width * part, rest.height * share)
        reached += size


def _remaining(rest: Area, share: float) -> Area:
    if rest.width >= rest.height:
        used = rest.width * share
        return Area(rest.x + used, rest.y, rest.width - used, rest.height)
    used = rest.height * share
    return Area(rest.x, rest.y + used, rest.width, rest.height - used)


def _box(box: Box, area: Area) -> str:
    about = escape("\n".join((box.title, *box.lines)))
    lines = [_text(line, area, number) for number, line in enumerate((box.title, *box.lines))]
    return (
        f"<g><title>{about}</title>{_rectangle(area, _colour(box.churn), '#ffffff', 2)}"
        + "".join(_parts(box, area))
        + "".join(lines)
        + "</g>"
    )


def _parts(box: Box, area: Area) -> Iterator[str]:
    """The borders of the targets in a layer, where they can be seen."""
    if len(box.parts) > 1 and area.width * area.height > 40 * len(box.parts):
        sizes = sorted((max(size, 1) for size in box.parts), reverse=True)
        for inner in squarified(sizes, area):
            yield _rectangle(inner, "none", "#ffffff", 0.4)


def _rectangle(area: Area, fill: str, stroke: str, width: float) -> str:
    return (
        f'<rect x="{area.x:.1f}" y="{area.y:.1f}" width="{area.width:.1f}" '
        f'height="{area.height:.1f}" fill="{fill}" stroke="{stroke}" stroke-width="{width}"/>'
    )


def _text(line: str, area: Area, number: int) -> str:
    room = int((area.width - 8) / _TEXT)
    if room < 4 or area.height < (number + 1) * _LINE + 4:
        return ""
    shown = line if len(line) <= room else line[: room - 1] + "…"
    y = area.y + (number + 1) * _LINE
    return f'<text x="{area.x + 5:.1f}" y="{y:.1f}">{escape(shown)}</text>'


def _colour(churn: float) -> str:
    """Between pale and dark; the root makes seldom and never differ."""
    part = math.sqrt(min(max(churn, 0.0), 1.0))
    mixed = (round(a + (b - a) * part) for a, b in zip(_PALE, _DARK, strict=True))
    return "#" + "".join(f"{value:02x}" for value in mixed)
