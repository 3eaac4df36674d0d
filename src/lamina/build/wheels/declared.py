"""A lock becomes rule calls: what `python_requirements` declares.

Each distribution is a target of its name; what an extra brings is `name[extra]`, and where a lock
has several versions of one, `name-version` is each of them and `name` the one that fits. Targets
may not depend on each other in a circle, distributions may: those of a circle have their files in
targets `name.only`, and each of them stands for all.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence

from packaging.requirements import InvalidRequirement, Requirement

from lamina.build.wheels.circles import circles
from lamina.core.classes import dataclass, field
from lamina.core.errors import UserError
from lamina.formats.pylock import Archive, Distribution, Lock

RULE = "python_distribution"

Calls = list[tuple[str, dict[str, object]]]  # names of targets, and their attributes
Edges = dict[str, list[str]]  # target -> markers under which it is needed, "" for always


@dataclass(slots=True)
class _Node:
    """A target in the making."""

    name: str
    files: Distribution | None = None
    needs: Edges = field(default_factory=dict)
    builds_with: Edges = field(default_factory=dict)


def calls(
    name: str,
    lock: Lock,
    folder: str,
    builds_with: Mapping[str, Sequence[str]],
    exclude: Mapping[str, Sequence[str]],
) -> Calls:
    """The calls for the distributions of a lock, and for `name`, which stands for all of them.

    `folder` is that of the lock in the build package. Raises UserError for what does not fit
    together.
    """
    graph = _Graph(lock)
    for key in (*builds_with, *exclude):
        graph.check_known(key)
    nodes = graph.nodes(builds_with)
    if name in nodes:
        raise UserError(
            f"a distribution of the lock is called `{name}` too", hint="choose another `name`"
        )
    everything = _Node(name, needs=graph.everything())
    made = [*_without_circles(nodes), everything]
    return [(node.name, _attributes(node, folder, exclude)) for node in made]


class _Graph:
    """The distributions of a lock, and how requirements name them."""

    def __init__(self, lock: Lock) -> None:
        self._lock = lock
        self._by_name: dict[str, list[Distribution]] = {}
        for each in lock.distributions:
            self._by_name.setdefault(each.name, []).append(each)

    def check_known(self, name: str) -> None:
        """Raises UserError where the lock has no distribution of this name."""
        if name not in self._by_name:
            raise UserError(f"the lock has no distribution `{name}`")

    def nodes(self, builds_with: Mapping[str, Sequence[str]]) -> dict[str, _Node]:
        """All targets but the one for all, by name."""
        found: list[_Node] = []
        for name, versions in self._by_name.items():
            for each in versions:
                found += self._of(each, builds_with.get(name, ()))
            if len(versions) > 1:
                found += _choosers(name, versions)
        return {node.name: node for node in found}

    def everything(self) -> Edges:
        """What the target for all needs."""
        needs: Edges = {}
        for name, versions in self._by_name.items():
            markers = [each.marker for each in versions]
            needs[name] = [""] if "" in markers or len(markers) > 1 else markers
        return needs

    def _of(self, each: Distribution, more: Sequence[str]) -> Iterator[_Node]:
        name = self._target(each)
        tools = (*each.builds_with, *more)
        yield _Node(name, each, self._edges(each.requires), self._edges(tools))
        for extra, requires in each.extras.items():
            yield _Node(f"{name}[{extra}]", needs={name: [""], **self._edges(requires)})

    def _target(self, each: Distribution) -> str:
        several = len(self._by_name[each.name]) > 1
        return f"{each.name}-{each.version}" if several else each.name

    def _edges(self, requirements: Iterable[str]) -> Edges:
        found: Edges = {}
        for text in requirements:
            try:
                wanted = Requirement(text)
            except InvalidRequirement as error:
                raise UserError(f"not a requirement: `{text}`") from error
            marker = str(wanted.marker) if wanted.marker else ""
            for target in self._named(wanted):
                markers = found.setdefault(target, [])
                if marker not in markers:
                    markers.append(marker)
        return found

    def _named(self, wanted: Requirement) -> list[str]:
        versions = self._by_name.get(wanted.name, [])
        chosen = next((v for v in versions if str(wanted.specifier) == f"=={v.version}"), None)
        if not versions or (wanted.specifier and len(versions) > 1 and chosen is None):
            raise UserError(
                f"the lock lacks `{wanted.name}{wanted.specifier}`, which others in it need",
                hint="`lamina lock` writes a whole one",
            )
        name = wanted.name if chosen is None else self._target(chosen)
        known = {extra for each in versions for extra in each.extras}
        extras = [f"{name}[{extra}]" for extra in sorted(wanted.extras) if extra in known]
        return extras or [name]


def _choosers(name: str, versions: Sequence[Distribution]) -> Iterator[_Node]:
    """The targets that stand for whichever version of a distribution fits."""
    yield _Node(name, needs={f"{name}-{each.version}": [each.marker] for each in versions})
    for extra in dict.fromkeys(extra for each in versions for extra in each.extras):
        having = [each for each in versions if extra in each.extras]
        needs = {f"{name}-{each.version}[{extra}]": [each.marker] for each in having}
        yield _Node(f"{name}[{extra}]", needs=needs)


def _without_circles(nodes: Mapping[str, _Node]) -> Iterator[_Node]:
    """The same targets, so that none is above itself."""
    edges = {name: tuple(node.needs) for name, node in nodes.items()}
    members = {name: circle for circle in circles(edges) for name in circle}
    for name, node in nodes.items():
        circle = members.get(name)
        if circle is None:
            node.needs.pop(name, None)
            yield node
            continue
        if node.files is not None:
            yield _Node(f"{name}.only", node.files, {}, node.builds_with)
        needs: Edges = {}
        for member in circle:
            if nodes[member].files is not None:
                needs[f"{member}.only"] = [""]
            for below, markers in nodes[member].needs.items():
                if below not in circle:
                    needs.setdefault(below, []).extend(markers)
        yield _Node(name, None, needs)


def _attributes(
    node: _Node, folder: str, exclude: Mapping[str, Sequence[str]]
) -> dict[str, object]:
    found: dict[str, object] = {"name": node.name, "deps": _marked(node.needs)}
    each = node.files
    if each is not None:
        found |= {"distribution": each.name, "version": each.version}
        remote = [wheel for wheel in each.wheels if not wheel.local]
        local = [wheel for wheel in each.wheels if wheel.local]
        found["wheels"] = {wheel.place: _sized(wheel) for wheel in remote}
        found["wheel_files"] = {_label(wheel, folder): wheel.sha256 for wheel in local}
        if each.sdist is not None and each.sdist.local:
            found["sdist_file"] = {_label(each.sdist, folder): each.sdist.sha256}
        elif each.sdist is not None:
            found["sdist"] = {each.sdist.place: _sized(each.sdist)}
        if each.sdist is not None:
            found["builds_with"] = _marked(node.builds_with)
        found["exclude"] = list(exclude.get(each.name, ()))
    return found


def _sized(archive: Archive) -> str:
    """The digest of an archive, and its size where that is known."""
    return archive.sha256 if archive.size is None else f"{archive.sha256}/{archive.size}"


def _label(archive: Archive, folder: str) -> str:
    return posixpath.normpath(posixpath.join(folder, archive.place))


def _marked(edges: Edges) -> dict[str, str]:
    """Labels of targets, and the marker under which each is needed."""
    return {f":{name}": _either(markers) for name, markers in edges.items()}


def _either(markers: Sequence[str]) -> str:
    if "" in markers or len(markers) < 2:
        return "" if "" in markers else markers[0]
    return " or ".join(f"({marker})" for marker in dict.fromkeys(markers))
