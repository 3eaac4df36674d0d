"""The chart of a job as SVG: one file without scripts, links or fonts, for light and dark pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from xml.sax.saxutils import escape

from lamina.cluster import stages, timeline
from lamina.cluster.stages import Stage, Summary
from lamina.cluster.timeline import Chart, Row

_WIDTH, _MARGIN, _HEAD = 1000.0, 28.0, 84.0
_ROW, _BAR = 30.0, 20.0
_LETTER = 7.0  # width of one of a name
_TICKS = 8
_COLOURS: Mapping[str, str] = MappingProxyType(
    {
        "build": "#3b82f6", "push": "#0ca5a5", "submit": "#9c5de0", "queue": "#adb5bd",
        "pull": "#f08c00", "mount": "#e0b000", "enter": "#e03131", "run": "#2f9e44",
    }
)  # fmt: skip
_SANS = "system-ui, 'Segoe UI', Helvetica, Arial, sans-serif"
_THEMES = (
    ("#ffffff", "#1c2530", "#66727f", "#e3e7eb"),  # page, text, what is less important, lines
    ("#12171d", "#e8edf2", "#93a0ae", "#2b333c"),
)


def draw(shown: Chart, title: str, about: str, summary: Sequence[Summary]) -> str:
    """The SVG; `about` is a line below the title. The same chart always gives the same text."""
    return "\n".join(_lines(shown, title, about, summary)) + "\n"


def _lines(shown: Chart, title: str, about: str, summary: Sequence[Summary]) -> Iterator[str]:
    names = min(max(len(row.name) for row in shown.rows) * _LETTER + 16, 300)
    bottom = _HEAD + len(shown.rows) * _ROW
    height = bottom + 74
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_n(_WIDTH)} {_n(height)}"'
        f' width="{_n(_WIDTH)}" height="{_n(height)}" role="img" aria-labelledby="title">'
    )
    yield f'<title id="title">{escape(title)}</title>'
    yield "<style>"
    yield f"text {{ font: 13px {_SANS}; }} .head {{ font: 600 16px {_SANS}; }}"
    yield ".quiet { font-size: 12px; } .in { font-size: 11px; fill: #ffffff; }"
    yield _theme(*_THEMES[0])
    yield f"@media (prefers-color-scheme: dark) {{ {_theme(*_THEMES[1])} }}"
    yield "</style>"
    yield f'<rect class="page" width="{_n(_WIDTH)}" height="{_n(height)}"/>'
    yield f'<text class="head" x="{_n(_MARGIN)}" y="36">{escape(title)}</text>'
    yield f'<text class="quiet" x="{_n(_MARGIN)}" y="55">{escape(about)}</text>'
    left, room = _MARGIN + names, _WIDTH - 2 * _MARGIN - names
    for at in timeline.ticks(shown.seconds, _TICKS):
        x = _n(left + at / shown.seconds * room)
        yield f'<path class="line" d="M{x} {_n(_HEAD - 4)}V{_n(bottom)}"/>'
        place = f'x="{x}" y="{_n(bottom + 16)}" text-anchor="middle"'
        yield f'<text class="quiet" {place}>{at:g} s</text>'
    for number, row in enumerate(shown.rows):
        yield from _row(shown, row, _HEAD + number * _ROW, left, room)
    yield from _legend(summary, bottom + 48)
    yield "</svg>"


def _theme(page: str, text: str, quiet: str, line: str) -> str:
    return (
        f".page {{ fill: {page}; }} text {{ fill: {text}; }} .quiet {{ fill: {quiet}; }}"
        f" .line {{ stroke: {line}; }}"
    )


def _row(shown: Chart, row: Row, top: float, left: float, room: float) -> Iterator[str]:
    yield f'<text x="{_n(_MARGIN)}" y="{_n(top + 15)}">{escape(row.name)}</text>'
    for stage in row.stages:
        begin = max(stage.begin - shown.begin, 0) / shown.seconds
        end = min(stage.end - shown.begin, shown.seconds) / shown.seconds
        if end <= begin:
            continue
        x, width = left + begin * room, (end - begin) * room
        yield f"<g><title>{escape(_told(row, stage))}</title>"
        size = f'width="{_n(width)}" height="{_n(_BAR)}"'
        yield f'<rect x="{_n(x)}" y="{_n(top)}" {size} fill="{_colour(stage.name)}"/>'
        if width > len(stage.name) * _LETTER + 6:
            yield f'<text class="in" x="{_n(x + 4)}" y="{_n(top + 14)}">{escape(stage.name)}</text>'
        if stage.end > shown.end + 1e-6:  # it runs on
            yield (
                f'<path d="M{_n(x + width)} {_n(top)}l8 {_n(_BAR / 2)}l-8 {_n(_BAR / 2)}z"'
                f' fill="{_colour(stage.name)}"/>'
            )
        yield "</g>"


def _told(row: Row, stage: Stage) -> str:
    return f"{row.name}: {stage.name}, {stage.seconds:.3f} s"


def _legend(summary: Sequence[Summary], y: float) -> Iterator[str]:
    """Each step with its colour, and its median where it is not the program's own."""
    x = _MARGIN
    for each in summary:
        median = "" if each.name == stages.RUN else f" {each.median:.2f} s"
        yield (
            f'<rect x="{_n(x)}" y="{_n(y - 10)}" width="12" height="12" rx="2"'
            f' fill="{_colour(each.name)}"/>'
        )
        yield f'<text class="quiet" x="{_n(x + 17)}" y="{_n(y)}">{escape(each.name)}{median}</text>'
        x += 17 + (len(each.name) + len(median)) * _LETTER + 18


def _colour(stage: str) -> str:
    return _COLOURS.get(stage, "#868e96")


def _n(value: float) -> str:
    """A number with no more digits than can be seen."""
    return f"{value:.1f}".removesuffix(".0")
