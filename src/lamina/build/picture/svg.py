"""A picture as SVG: one file without scripts, links or fonts, for light and for dark pages.

Where the page that shows it lets it (`:has` in a browser), the dependencies of the target below
the pointer stand out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import ceil, log2
from types import MappingProxyType
from xml.sax.saxutils import escape

from lamina.build.picture.colours import colour, shape
from lamina.build.picture.layout import BESIDE, Layout, Line, lay_out
from lamina.build.picture.scene import Box, Scene

_MARGIN = 28.0
_HEAD = 58.0
_LETTER, _SMALL = 7.83, 6.63  # widths of letters of 13 and 11 pixels, the same in all such fonts
_ROW = 17.0
_LONGEST = 44
_HOVERED = 400  # boxes; more rules of style make a browser slow

_THEMES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "light": {
            "page": "#ffffff", "text": "#1c2530", "quiet": "#66727f", "line": "#8b97a5",
            "card": "#ffffff", "back": "#e03131",
        },
        "dark": {
            "page": "#12171d", "text": "#e8edf2", "quiet": "#93a0ae", "line": "#66727f",
            "card": "#182029", "back": "#ff8787",
        },
    }
)  # fmt: skip
THEMES = ("auto", *_THEMES)


def draw(scene: Scene, theme: str = "auto") -> str:
    """The SVG of a scene; the same scene always gives the same text."""
    sizes = [_size(box) for box in scene.boxes]
    layout = lay_out(sizes, list(scene.edges))
    return "\n".join(_Drawing(scene, sizes, layout, theme).lines()) + "\n"


def _size(box: Box) -> tuple[float, float]:
    if not box.rule:
        return _size_of_group(box)
    width = max(len(_short(box.title)) * _LETTER, len(_short(box.note)) * _SMALL) + 34
    return max(width, 84), 44 if box.note else 34


def _size_of_group(box: Box) -> tuple[float, float]:
    names = [len(_short(item.name)) * _SMALL + 12 for item in box.items]
    width = max([len(_short(box.title)) * _LETTER, *names, len(box.note) * _SMALL]) + 34
    if not box.items:
        return max(width, 120, (len(box.note) + 18) * _SMALL if box.note else 0), 60
    return max(width, 120), 38 + (len(box.items) + bool(box.note)) * _ROW


def _short(text: str) -> str:
    if len(text) <= _LONGEST:
        return text
    return f"{text[: _LONGEST // 2 - 1]}…{text[-_LONGEST // 2 :]}"


class _Drawing:
    def __init__(
        self, scene: Scene, sizes: list[tuple[float, float]], layout: Layout, theme: str
    ) -> None:
        self._scene = scene
        self._sizes = sizes
        self._layout = layout
        self._theme = theme
        self._legend = list(self._legend_rows())
        wide = max((x for row in self._legend for _, _, x in row[-1:]), default=0.0)
        self._title = _cut(scene.title, 90)
        head = max(len(self._title) * 9.0, 260)
        self._width = ceil(max(layout.width, wide, head) + 2 * _MARGIN)
        self._height = ceil(layout.height + _HEAD + 2 * _MARGIN + 24 + 22 * len(self._legend))

    def lines(self) -> Iterator[str]:
        width, height = _n(self._width), _n(self._height)
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
            f' width="{width}" height="{height}" role="img" aria-labelledby="title">'
        )
        yield f'<title id="title">{escape(self._scene.title)}</title>'
        yield "<style>"
        yield from self._style()
        yield "</style>"
        yield f'<rect class="page" width="{width}" height="{height}"/>'
        yield f'<text class="head" x="{_n(_MARGIN)}" y="40">{escape(self._title)}</text>'
        yield f'<text class="quiet" x="{_n(_MARGIN)}" y="60">{escape(self._summary())}</text>'
        offset = (self._width - self._layout.width) / 2
        yield f'<g transform="translate({_n(offset)} {_n(_HEAD + _MARGIN)})">'
        yield from map(self._line, self._layout.lines)
        yield from self._tips()
        for number, box in enumerate(self._scene.boxes):
            yield from self._box(number, box)
        yield "</g>"
        yield from self._legend_lines()
        yield "</svg>"

    def _summary(self) -> str:
        targets = sum(box.count for box in self._scene.boxes)
        dependencies = sum(self._scene.edges.values())
        noun = "target" if targets == 1 else "targets"
        other = "dependency" if dependencies == 1 else "dependencies"
        grouped = any(not box.rule for box in self._scene.boxes)
        parts = [f"{targets:,} {noun}", f"{dependencies:,} {other}"]
        if grouped:
            parts = [f"{len(self._scene.boxes):,} groups", parts[0], f"{parts[1]} between them"]
        return " · ".join(parts)

    # Style.

    def _style(self) -> Iterator[str]:
        yield f"text {{ font: 13px {_MONOSPACE}; }}"
        yield ".name { font-weight: 600; } .small { font-size: 11px; }"
        yield f".head {{ font: 600 16px {_SANS}; }} .quiet, .key {{ font: 12px {_SANS}; }}"
        yield ".line { fill: none; stroke-linecap: round; } .turned { stroke-dasharray: 5 4; }"
        yield ".box { fill-opacity: .11; stroke-opacity: .55; } .bar { stroke: none; }"
        yield ".program { stroke-width: 2; stroke-opacity: 1; } .test { stroke-dasharray: 4 3; }"
        yield from _colours("light" if self._theme == "auto" else self._theme)
        if self._theme == "auto":
            yield "@media (prefers-color-scheme: dark) {"
            yield from _colours("dark")
            yield "}"
        if len(self._scene.boxes) <= _HOVERED:
            yield from self._hover()

    def _hover(self) -> Iterator[str]:
        yield "svg:has(.vertex:hover) .line { opacity: .2; }"
        yield ".vertex { cursor: default; }"
        ends = {end for line in self._layout.lines for end in (*line.sources, line.target)}
        for number in sorted(ends):
            over = f"svg:has(#n{number}:hover)"
            yield f"{over} .s{number} {{ opacity: 1; stroke-width: 2.2px; }}"
            yield f"{over} .t{number} {{ opacity: 1; stroke-width: 2.2px; }}"

    # Lines.

    def _line(self, line: Line) -> str:
        (x, y), (to_x, to_y) = line.start, line.end
        to_y -= 3 * (line.arrives and not line.turned)  # below its tip
        middle = (line.bend + to_y) / 2
        start = f"M{_n(x)} {_n(y)}" + (f"V{_n(line.bend)}" if line.bend > y else "")
        if abs(x - to_x) < 1:
            way = f"{start}V{_n(to_y)}"
        else:
            way = f"{start}C{_n(x)} {_n(middle)} {_n(to_x)} {_n(middle)} {_n(to_x)} {_n(to_y)}"
        names = " ".join(f"s{number}" for number in sorted(line.sources))
        turned = " turned" if line.turned else ""
        hover = f" {names} t{line.target}" if len(self._scene.boxes) <= _HOVERED else ""
        width = self._weight(line)
        thick = f' stroke-width="{_n(width)}"' if width != _THIN else ""
        return f'<path class="line{turned}{hover}"{thick} d="{way}"/>'

    def _weight(self, line: Line) -> float:
        """Of groups, the more dependencies there are the thicker."""
        edges = self._scene.edges
        count = sum(
            edges.get((line.target, s) if line.turned else (s, line.target), 1)
            for s in line.sources
        )
        grouped = any(not box.rule for box in self._scene.boxes)
        return min(_THIN + 0.45 * log2(count), 6) if grouped and count > 1 else _THIN

    def _tips(self) -> Iterator[str]:
        """The tips of the lines, one for all that arrive at a box."""
        below: dict[int, float] = {}
        for line in self._layout.lines:
            if line.arrives and not line.turned:
                below[line.target] = max(below.get(line.target, 0), self._weight(line))
        for number, width in sorted(below.items()):
            left, top = self._layout.places[number]
            half, x = 2.8 + width, left + self._sizes[number][0] / 2
            wide, high = _n(2 * half), _n(2 * half)
            start = f"M{_n(x - half)} {_n(top - 2 * half)}"
            yield f'<path class="tip" d="{start}h{wide}l-{_n(half)} {high}z"/>'
        above = {source for line in self._layout.lines if line.turned for source in line.sources}
        for number in sorted(above):
            left, top = self._layout.places[number]
            x, y = left + self._sizes[number][0] / 2 + BESIDE, top + self._sizes[number][1]
            yield f'<path class="tip back" d="M{_n(x - 4)} {_n(y + 8)}h8l-4 -7.5z"/>'

    # Boxes.

    def _box(self, number: int, box: Box) -> Iterator[str]:
        x, y = self._layout.places[number]
        width, height = self._sizes[number]
        main = box.rule or box.rules[0][0]
        tint = colour(main)
        kind = shape(box.rule) if box.rule else "plain"
        yield f'<g class="vertex" id="n{number}" transform="translate({_n(x)} {_n(y)})">'
        yield f"<title>{escape(box.tip)}</title>"
        size = f'width="{_n(width)}" height="{_n(height)}" rx="7"'
        yield f'<rect class="card" {size}/>'
        yield f'<rect class="box {kind}" {size} fill="{tint}" stroke="{tint}"/>'
        if box.rule:
            yield from self._target(box, height)
        else:
            yield from self._group(box, width)
        yield "</g>"

    def _target(self, box: Box, height: float) -> Iterator[str]:
        size = f'width="4" height="{_n(height - 16)}" rx="2"'
        yield f'<rect class="bar" x="7" y="8" {size} fill="{colour(box.rule)}"/>'
        y = 21 if box.note else 22
        yield f'<text class="name" x="20" y="{y}">{_text(box.title)}</text>'
        if box.note:
            yield f'<text class="quiet-fill small" x="20" y="36">{_text(box.note)}</text>'

    def _group(self, box: Box, width: float) -> Iterator[str]:
        yield f'<text class="name" x="14" y="24">{_text(box.title)}</text>'
        y = 45.0
        for item in box.items:
            yield f'<circle cx="18" cy="{_n(y - 4)}" r="3.5" fill="{colour(item.rule)}"/>'
            yield f'<text class="small" x="28" y="{_n(y)}">{_text(item.name)}</text>'
            y += _ROW
        if not box.items:
            yield from self._shares(box, width)
        elif box.note:
            yield f'<text class="quiet-fill small" x="28" y="{_n(y)}">{escape(box.note)}</text>'

    def _shares(self, box: Box, width: float) -> Iterator[str]:
        """The number of targets, and a bar of how many there are of each rule."""
        noun = "target" if box.count == 1 else "targets"
        told = f"{box.count:,} {noun}" + (f" · {box.note}" if box.note else "")
        yield f'<text class="quiet-fill small" x="14" y="41">{told}</text>'
        x = 14.0
        for rule, count in box.rules:
            share = (width - 28) * count / box.count
            size = f'width="{_n(share)}" height="4"'
            yield f'<rect x="{_n(x)}" y="49" {size} fill="{colour(rule)}"/>'
            x += share

    # The legend.

    def _legend_rows(self) -> Iterator[list[tuple[str, int, float]]]:
        """Rule, count and where its entry ends, in rows of a width that fits."""
        row: list[tuple[str, int, float]] = []
        x = 0.0
        most = max(self._layout.width, 420)
        for rule, count in self._scene.rules:
            wide = 34 + len(f"{rule}  {count}") * 6.9
            if row and x + wide > most:
                yield row
                row, x = [], 0.0
            x += wide
            row.append((rule, count, x))
        if row:
            yield row

    def _legend_lines(self) -> Iterator[str]:
        y = self._height - _MARGIN - 22 * (len(self._legend) - 1)
        for row in self._legend:
            x = _MARGIN
            for rule, count, end in row:
                tint, kind = colour(rule), shape(rule)
                yield (
                    f'<rect class="box {kind}" x="{_n(x)}" y="{_n(y - 11)}" width="16" height="12"'
                    f' rx="3" fill="{tint}" stroke="{tint}"/>'
                )
                shown = f'{escape(rule)} <tspan class="quiet-fill">{count:,}</tspan>'
                yield f'<text class="key" x="{_n(x + 23)}" y="{_n(y)}">{shown}</text>'
                x = _MARGIN + end
            y += 22


_THIN = 1.3
_MONOSPACE = "ui-monospace, SFMono-Regular, Menlo, 'DejaVu Sans Mono', monospace"
_SANS = "system-ui, 'Segoe UI', Helvetica, Arial, sans-serif"


def _colours(theme: str) -> Iterator[str]:
    tones = _THEMES[theme]
    yield f".page {{ fill: {tones['page']}; }} .card {{ fill: {tones['card']}; }}"
    yield f"text {{ fill: {tones['text']}; }}"
    yield f".quiet, .quiet-fill {{ fill: {tones['quiet']}; }}"
    yield f".line {{ stroke: {tones['line']}; }} .tip {{ fill: {tones['line']}; }}"
    yield f".turned {{ stroke: {tones['back']}; }} .back {{ fill: {tones['back']}; }}"


def _text(text: str) -> str:
    return escape(_short(text))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _n(value: float) -> str:
    """A number with no more digits than can be seen."""
    return f"{value:.1f}".removesuffix(".0")
