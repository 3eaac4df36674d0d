"""What a picture shows: boxes for targets, or for build packages where there are many targets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence

from lamina.build.picture.layers import Edge, acyclic, reduced
from lamina.build.query.graph import Form, Graph
from lamina.core.classes import dataclass, field

FILE = "file"
_LISTED = 8  # targets that the box of a build package names
_TOLD = 40  # names in the text that appears below the pointer


@dataclass(frozen=True, slots=True)
class Item:
    """A target in the box of its build package."""

    name: str
    rule: str


@dataclass(frozen=True, slots=True)
class Box:
    """One box: a target with its rule, or a group of targets."""

    title: str
    note: str = ""
    rule: str = ""  # of a target
    items: tuple[Item, ...] = ()  # those of a group that are named
    rules: tuple[tuple[str, int], ...] = ()  # how many targets of each rule are in it
    tip: str = ""

    @property
    def count(self) -> int:
        """The targets it stands for."""
        return sum(count for _, count in self.rules)


@dataclass(frozen=True, slots=True)
class Scene:
    """Boxes, and how many dependencies there are between each two."""

    title: str
    boxes: tuple[Box, ...]
    edges: dict[Edge, int] = field(default_factory=dict)

    @property
    def rules(self) -> list[tuple[str, int]]:
        """How many targets there are of each rule, most first."""
        total: Counter[str] = Counter()
        for box in self.boxes:
            total.update(dict(box.rules))
        return sorted(total.items(), key=lambda item: (-item[1], item[0]))

    def reduced(self) -> Scene:
        """Without the edges that a longer way says as well; those of circles all stay."""
        straight, turned = acyclic(len(self.boxes), list(self.edges))
        kept = set(reduced(len(self.boxes), list(dict.fromkeys([*straight, *turned]))))
        kept = kept.intersection(straight) | {(lower, upper) for upper, lower in turned}
        edges = {edge: count for edge, count in self.edges.items() if edge in kept}
        return Scene(self.title, self.boxes, edges)


def scene(graph: Graph, vertices: Sequence[int], title: str, group: str, *, files: bool) -> Scene:
    """The picture of some vertices; `group` is "none", "package", or "auto" for what fits."""
    shown = [number for number in vertices if files or graph.forms[number] is Form.RULE]
    edges = _edges(graph, shown)
    packages = {graph.labels[number].home for number in shown}
    if group == "none" or (group == "auto" and (len(shown) <= MOST or len(packages) == 1)):
        return _targets(graph, shown, edges, title, single=len(packages) == 1)
    if group == "package" or len(packages) <= MOST_PACKAGES:
        return _groups(graph, shown, edges, title, lambda number: graph.labels[number].home)
    depth = _depth(packages)
    cut = {home: _cut(home, depth) for home in packages}
    return _groups(graph, shown, edges, title, lambda number: cut[graph.labels[number].home])


MOST = 60  # targets with a box each
MOST_PACKAGES = 120


def _edges(graph: Graph, shown: Sequence[int]) -> dict[Edge, None]:
    """The dependencies between what is shown; a file that is made stands for who makes it."""
    inside = frozenset(shown)
    found: dict[Edge, None] = {}
    for number in shown:
        for step in graph.edges(number):
            maker = graph.targets[step]
            if step not in inside and graph.forms[step] is Form.GENERATED and maker is not None:
                step = graph.vertex(maker.label)
            if step in inside and step != number:
                found[number, step] = None
    return found


def _rule(graph: Graph, number: int) -> str:
    target = graph.rule(number)
    return FILE if target is None else target.rule.name


def _targets(
    graph: Graph, shown: Sequence[int], edges: dict[Edge, None], title: str, *, single: bool
) -> Scene:
    index = {number: place for place, number in enumerate(shown)}
    boxes = []
    for number in shown:
        label, rule = graph.labels[number], _rule(graph, number)
        note = "" if single else label.home
        boxes.append(Box(label.name, note, rule, (), ((rule, 1),), f"{label}\n{rule}"))
    return Scene(title, tuple(boxes), {(index[one], index[two]): 1 for one, two in edges})


def _groups(
    graph: Graph,
    shown: Sequence[int],
    edges: dict[Edge, None],
    title: str,
    group_of: Callable[[int], Hashable],
) -> Scene:
    members: dict[Hashable, list[int]] = {}
    for number in shown:
        members.setdefault(group_of(number), []).append(number)
    index = {group: place for place, group in enumerate(members)}
    few = len(members) <= MOST
    boxes = [_group(graph, str(group), inside, listed=few) for group, inside in members.items()]
    between: Counter[Edge] = Counter()
    for one, two in edges:
        edge = index[group_of(one)], index[group_of(two)]
        if edge[0] != edge[1]:
            between[edge] += 1
    return Scene(title, tuple(boxes), dict(between))


def _group(graph: Graph, name: str, inside: list[int], *, listed: bool) -> Box:
    labels, rules = graph.labels, Counter(_rule(graph, number) for number in inside)
    counted = tuple(sorted(rules.items(), key=lambda item: (-item[1], item[0])))
    packages = Counter(labels[number].home for number in inside)
    if len(packages) > 1:
        shown = list(packages.items())[:_TOLD]
        tip = "\n".join([name, *(f"{home}: {count}" for home, count in shown)])
        return Box(name, f"{len(packages)} build packages", "", (), counted, tip)
    items = [Item(labels[number].name, _rule(graph, number)) for number in inside]
    rest = len(items) - _LISTED
    named = items if rest <= 1 else items[:_LISTED]
    note = "" if not listed or rest <= 1 else f"and {rest} more"
    told = [f":{item.name}" for item in items[:_TOLD]]
    tip = "\n".join([f"{name}: {len(inside)} targets", *told])
    return Box(name, note, "", tuple(named) if listed else (), counted, tip)


def _depth(packages: set[str]) -> int:
    """How many folders of a path to keep so that there are not too many groups."""
    depth = max(home.count("/") for home in packages)
    while depth > 2 and len({_cut(home, depth) for home in packages}) > MOST_PACKAGES:
        depth -= 1
    return depth


def _cut(home: str, depth: int) -> str:
    parts = home.split("/")
    return home if len(parts) <= depth + 1 else "/".join([*parts[: depth + 1], "..."])
