"""Where boxes and lines of a picture go: layers from top to bottom, few crossings, straight lines.

The method is that of Sugiyama, Tagawa and Toda (1981). A line that crosses layers has a joint in
each of them; all lines that lead to one box share its joints, and so run together like the
branches of a tree.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from itertools import pairwise

from lamina.build.picture.layers import Edge, acyclic, layers
from lamina.core.classes import dataclass, field

_GAP = 26.0  # between boxes of a layer
_JOINT = 14.0  # what a joint takes of the width of its layer
BESIDE = 14.0  # of a line that goes upwards from the middle of its boxes
_SWEEPS = 16
_RELAXATIONS = 40


@dataclass(frozen=True, slots=True)
class Line:
    """A piece of a line between two neighbouring layers; several edges may run through it."""

    start: tuple[float, float]
    bend: float  # where below its start it leaves the vertical
    end: tuple[float, float]
    sources: frozenset[int]
    target: int
    arrives: bool  # at the box it leads to
    turned: bool  # the edge goes the other way: it closes a circle


@dataclass(slots=True)
class Layout:
    """Places of boxes (of their upper left corners), and the lines between them."""

    width: float
    height: float
    places: list[tuple[float, float]]
    lines: list[Line] = field(default_factory=list)


@dataclass(slots=True)
class _Point:
    """A box, or a joint of lines in a layer between."""

    layer: int
    width: float
    height: float
    box: int = -1  # its number, -1 for a joint
    up: dict[int, None] = field(default_factory=dict)
    down: dict[int, None] = field(default_factory=dict)
    x: float = 0.0  # of its middle


def lay_out(sizes: Sequence[tuple[float, float]], edges: Sequence[Edge]) -> Layout:
    """Places for boxes of these sizes; edges lead from dependents to what they depend on."""
    if not sizes:
        return Layout(0, 0, [])
    straight, turned = acyclic(len(sizes), edges)
    area = sum((width + _GAP) * (height + 60) for width, height in sizes)
    widest = max((area * 2.2) ** 0.5, 4 * max(width for width, _ in sizes))
    every = list(dict.fromkeys([*straight, *turned]))
    rows = layers([width + _GAP for width, _ in sizes], every, widest)
    net = _Net(sizes, rows, straight, turned)
    net.order()
    net.settle()
    return net.drawn()


class _Net:
    """Points in layers, and the pieces of lines between neighbouring ones."""

    def __init__(
        self,
        sizes: Sequence[tuple[float, float]],
        rows: list[list[int]],
        edges: list[Edge],
        turned: list[Edge],
    ) -> None:
        self.points = [_Point(0, width, height, box) for box, (width, height) in enumerate(sizes)]
        self.rows = rows
        self.pieces: dict[tuple[int, int, bool], tuple[set[int], int]] = {}
        self._boxes = len(sizes)
        for layer, row in enumerate(rows):
            for number in row:
                self.points[number].layer = layer
        joints: dict[tuple[int, int, int], int] = {}
        for edge in sorted(edges, key=self._span):
            self._thread(edge, False, joints)
        for edge in sorted(turned, key=self._span):
            self._thread(edge, True, joints)

    def _span(self, edge: Edge) -> int:
        return self.points[edge[1]].layer - self.points[edge[0]].layer

    def _thread(self, edge: Edge, turned: bool, joints: dict[tuple[int, int, int], int]) -> None:
        """Lead an edge through the layers between its ends."""
        upper, lower = edge
        here = upper
        for layer in range(self.points[upper].layer + 1, self.points[lower].layer):
            key = (lower, layer, upper if turned else -1)
            joint = joints.get(key)
            if joint is None:
                joint = joints[key] = len(self.points)
                self.points.append(_Point(layer, _JOINT, 0))
                self.rows[layer].append(joint)
            self._connect(here, joint, edge, turned)
            here = joint
        self._connect(here, lower, edge, turned)

    def _connect(self, upper: int, lower: int, edge: Edge, turned: bool) -> None:
        sources, _ = self.pieces.setdefault((upper, lower, turned), (set(), edge[1]))
        sources.add(edge[0])
        self.points[upper].down[lower] = None
        self.points[lower].up[upper] = None

    # Order within the layers.

    def order(self) -> None:
        """Put the points of each layer into an order with few crossings."""
        self._begin()
        best, fewest = [list(row) for row in self.rows], self._crossings()
        for sweep in range(_SWEEPS):
            if not fewest:
                break
            self._sweep(downwards=sweep % 2 == 0)
            self._swap()
            crossings = self._crossings()
            if crossings < fewest:
                best, fewest = [list(row) for row in self.rows], crossings
        self.rows = best

    def _begin(self) -> None:
        """Begin with the order of a walk from the top: what belongs together lies together."""
        seen: dict[int, None] = {}
        for start in (number for row in self.rows for number in row):
            stack = [start]
            while stack:
                number = stack.pop()
                if number not in seen:
                    seen[number] = None
                    stack.extend(reversed(self.points[number].down))
        position = {number: index for index, number in enumerate(seen)}
        for row in self.rows:
            row.sort(key=position.__getitem__)

    def _sweep(self, *, downwards: bool) -> None:
        rows = self.rows if downwards else self.rows[::-1]
        for before, row in pairwise(rows):
            position = {number: index for index, number in enumerate(before)}
            wanted: dict[int, float] = {}
            for index, number in enumerate(row):
                point = self.points[number]
                near = [position[other] for other in (point.up if downwards else point.down)]
                wanted[number] = sum(near) / len(near) if near else index
            row.sort(key=wanted.__getitem__)

    def _swap(self) -> None:
        """Change neighbours that cross less the other way round."""
        for index, row in enumerate(self.rows):
            if len(row) > 400:
                continue
            above = self._positions(index - 1)
            below = self._positions(index + 1)
            up = {n: sorted(above[other] for other in self.points[n].up) for n in row}
            down = {n: sorted(below[other] for other in self.points[n].down) for n in row}
            for left in range(len(row) - 1):
                one, other = row[left], row[left + 1]
                now = _crossed(up[one], up[other]) + _crossed(down[one], down[other])
                then = _crossed(up[other], up[one]) + _crossed(down[other], down[one])
                if then < now:
                    row[left], row[left + 1] = other, one

    def _positions(self, index: int) -> dict[int, int]:
        row = self.rows[index] if 0 <= index < len(self.rows) else []
        return {number: place for place, number in enumerate(row)}

    def _crossings(self) -> int:
        total = 0
        for index, row in enumerate(self.rows[:-1]):
            below = self._positions(index + 1)
            passed: list[int] = []
            for number in row:
                ends = sorted(below[other] for other in self.points[number].down)
                total += sum(len(passed) - bisect_right(passed, end) for end in ends)
                for end in ends:
                    insort(passed, end)
        return total

    # Places.

    def settle(self) -> None:
        """Move the points sideways so that lines are straight, those of joints above all."""
        for row in self.rows:
            x = 0.0
            for number in row:
                point = self.points[number]
                point.x = x + point.width / 2
                x += point.width + self._gap(number)
            for number in row:
                self.points[number].x -= x / 2
        for turn in range(_RELAXATIONS):
            rows = self.rows if turn % 2 == 0 else self.rows[::-1]
            for row in rows:
                self._relax(row, both=turn >= 4, downwards=turn % 2 == 0)
        self._straighten()

    def _straighten(self) -> None:
        """Put the joints of a line below one another, as far as their neighbours leave room."""
        place = {number: index for row in self.rows for index, number in enumerate(row)}
        for row in self.rows[::-1]:
            for number in row:
                below = next(iter(self.points[number].down), None)
                if self.points[number].box < 0 and below is not None:
                    self._move(number, self.points[below].x, place[number])
        for row in self.rows:
            for number in row:
                point = self.points[number]
                if len(point.up) == 1 and len(point.down) <= 1:
                    self._move(number, self.points[next(iter(point.up))].x, place[number])

    def _move(self, number: int, x: float, index: int) -> None:
        """Move a point to a place, or as near to it as its neighbours let it."""
        point = self.points[number]
        row = self.rows[point.layer]
        if index > 0:
            left = self.points[row[index - 1]]
            x = max(x, left.x + (left.width + point.width) / 2 + self._gap(row[index - 1]))
        if index + 1 < len(row):
            right = self.points[row[index + 1]]
            x = min(x, right.x - (right.width + point.width) / 2 - self._gap(number))
        point.x = x

    def _gap(self, number: int) -> float:
        return _GAP if self.points[number].box >= 0 else _JOINT / 2

    def _relax(self, row: list[int], *, both: bool, downwards: bool) -> None:
        wanted, weights, spaces = [], [], [0.0]
        for index, number in enumerate(row):
            point = self.points[number]
            near = [*point.up] * (downwards or both) + [*point.down] * (both or not downwards)
            heavy = [self._weight(number, other) for other in near]
            total = sum(heavy)
            mean = sum(w * self.points[n].x for w, n in zip(heavy, near, strict=True))
            wanted.append(mean / total if total else point.x)
            weights.append(total or 0.1)
            if index:
                left = row[index - 1]
                space = (self.points[left].width + point.width) / 2 + self._gap(left)
                spaces.append(spaces[-1] + space)
        for number, x in zip(row, _spread(wanted, weights, spaces), strict=True):
            self.points[number].x = x

    def _weight(self, one: int, other: int) -> float:
        joints = (self.points[one].box < 0) + (self.points[other].box < 0)
        return (3.0, 1.0, 16.0)[joints]

    def drawn(self) -> Layout:
        """The places and lines, from the upper left corner on."""
        tops, bottoms, y = [], [], 0.0
        for index, row in enumerate(self.rows):
            height = max(self.points[number].height for number in row)
            tops.append(y)
            bottoms.append(y + height)
            y += height + self._space(index)
        left = min(point.x - point.width / 2 for point in self.points)
        right = max(point.x + point.width / 2 for point in self.points)
        places = []
        for point in self.points[: self._boxes]:
            middle = (tops[point.layer] + bottoms[point.layer]) / 2
            places.append((point.x - point.width / 2 - left, middle - point.height / 2))
        lines = [
            self._line(*ends, *piece, left, tops, bottoms) for ends, piece in self.pieces.items()
        ]
        return Layout(right - left, bottoms[-1], places, lines)

    def _space(self, index: int) -> float:
        """Between a layer and the next: more where lines run far to the side."""
        row = self.rows[index]
        runs = [abs(self.points[n].x - self.points[m].x) for n in row for m in self.points[n].down]
        return min(42 + max(runs, default=0) * 0.07, 130)

    def _line(
        self,
        upper: int,
        lower: int,
        turned: bool,
        sources: set[int],
        target: int,
        left: float,
        tops: list[float],
        bottoms: list[float],
    ) -> Line:
        one, other = self.points[upper], self.points[lower]
        middle = (tops[one.layer] + bottoms[one.layer]) / 2
        start = middle + one.height / 2 if one.box >= 0 else tops[one.layer]
        below = (tops[other.layer] + bottoms[other.layer]) / 2
        end = below - other.height / 2 if other.box >= 0 else tops[other.layer]
        # Beside the line in the other direction, which there may be.
        x = one.x - left + BESIDE * (turned and one.box >= 0)
        to_x = other.x - left + BESIDE * (turned and other.box >= 0)
        return Line(
            (x, start), bottoms[one.layer], (to_x, end),
            frozenset(sources), target, other.box >= 0, turned,
        )  # fmt: skip


def _crossed(left: list[int], right: list[int]) -> int:
    """How often lines of two neighbours cross, by the sorted places of their other ends."""
    total = index = 0
    for end in left:
        while index < len(right) and right[index] < end:
            index += 1
        total += index
    return total


def _spread(wanted: list[float], weights: list[float], spaces: list[float]) -> list[float]:
    """The places nearest to those wanted that keep order and distances (least squares).

    Without its distance each place only has to be no less than the one before: neighbours that
    are not are taken together at their mean, until all is in order.
    """
    blocks: list[tuple[float, float, int]] = []  # mean, weight, count
    for want, weight, space in zip(wanted, weights, spaces, strict=True):
        mean, total, count = want - space, weight, 1
        while blocks and blocks[-1][0] > mean:
            other, heavy, more = blocks.pop()
            mean = (mean * total + other * heavy) / (total + heavy)
            total, count = total + heavy, count + more
        blocks.append((mean, total, count))
    flat = [mean for mean, _, count in blocks for _ in range(count)]
    return [place + space for place, space in zip(flat, spaces, strict=True)]
