"""Tables for people and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.measure import SIZE, Row, Table, added, ratio


def text(table: Table) -> str:
    """A table with its medians, and a ratio to each peer that was measured."""
    found = [row for row in map(table.peer, table.peers) if row]
    peers = dict(zip("abc", found, strict=False))
    marks = {row.name: f" [{mark}]" for mark, row in peers.items()}
    header = ["", "median", *(() if table.figure == SIZE else ("best", "middle half"))]
    header += [f"- {mark}" for mark in list(peers)[:1] if table.figure != SIZE]
    header += [f"/ {mark}" for mark in peers]
    lines = [
        [row.name + marks.get(row.name, ""), *_cells(table, row, list(peers.values()))]
        for row in table.rows
    ]
    head = f"## {table.title}: {table.figure}\n"
    notes = "".join(f"\n{note}" for note in table.notes)
    return head + aligned([header, *lines]) + notes


def _cells(table: Table, row: Row, peers: Sequence[Row]) -> list[str]:
    ratios = [f"{ratio(row, peer):.2f}" for peer in peers]
    if table.figure == SIZE:
        return [_bytes(row.median), *ratios]
    low, high = row.quartiles
    differences = [f"{added(row, peer) * 1000:+.1f} ms" for peer in peers[:1]]
    half = f"{low * 1000:.1f} .. {high * 1000:.1f}"
    return [_seconds(row.median), _seconds(min(row.values)), half, *differences, *ratios]


def _seconds(value: float) -> str:
    return f"{value * 1000:.1f} ms"


def _bytes(value: float) -> str:
    return f"{value / 1024:,.1f} KiB"


def aligned(lines: Iterable[Sequence[str]]) -> str:
    """Columns; all but the first to the right."""
    lines = list(lines)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def document(table: Table) -> dict[str, object]:
    """The same as fields, with every single value."""
    peers = [row for row in map(table.peer, table.peers) if row]
    return {
        "title": table.title,
        "figure": table.figure,
        "unit": "B" if table.figure == SIZE else "s",
        "notes": list(table.notes),
        "rows": [
            {
                "name": row.name,
                "median": row.median,
                "ratios": {peer.name: ratio(row, peer) for peer in peers},
                "values": list(row.values),
            }
            for row in table.rows
        ],
    }
