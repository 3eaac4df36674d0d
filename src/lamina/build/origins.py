"""Which code of others a target is made of, at run time and before.

A library that is compiled from an archive is in the program that it is linked into; a tool that
only makes something is not, nor is what an sdist was built with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from lamina.build.cellmap import Cells
from lamina.build.providers import Analysed, Origin
from lamina.build.target import Target, labels_in
from lamina.core.classes import dataclass
from lamina.core.label import Label

Maker = Callable[[Label], Target | None]

_OF_TOOLS = frozenset({"build_data", "builds_with", "exec_tools", "toolchains", "tools"})


@dataclass(frozen=True, slots=True)
class Origins:
    """Code of others, and how it hangs together."""

    found: Mapping[Label, Origin]  # by label, sorted
    needs: Mapping[Label, tuple[Label, ...]]  # among these, and those of the target itself


def origins(
    root: Label,
    targets: Mapping[Label, Target],
    analysed: Mapping[Label, Analysed],
    cells: Cells,
    maker: Maker,
) -> Origins:
    """The code of others below a target.

    `targets` are closed, dependencies first; `maker` tells which one makes the file of a label.
    """
    walk = _Walk(targets, analysed, cells, maker)
    walk.enter(root)
    found = {label: walk.found[label] for label in sorted(walk.found)}
    return Origins(found, {label: walk.nearest(label) for label in (root, *found)})


class _Walk:
    def __init__(
        self,
        targets: Mapping[Label, Target],
        analysed: Mapping[Label, Analysed],
        cells: Cells,
        maker: Maker,
    ) -> None:
        self._maker = maker
        self._targets = targets
        self._analysed = analysed
        self._cells = cells
        self._below: dict[Label, tuple[Label, ...]] = {}
        self.found: dict[Label, Origin] = {}

    def enter(self, root: Label) -> None:
        """Look at a target and all below it."""
        waiting = [root]
        while waiting:
            label = waiting.pop()
            if label in self._below:
                continue
            self._below[label] = tuple(self._edges(label))
            waiting.extend(self._below[label])
            origin = self._origin(label)
            if origin is not None:
                self.found[label] = origin

    def _edges(self, label: Label) -> Iterator[Label]:
        """What of a target's dependencies ends up in it."""
        target, known = self._targets.get(label), self._analysed.get(label)
        if target is None or known is None:
            return
        if known.label != label:  # it stands for another
            yield known.label
        elif target.rule.name == "python_distribution":
            yield from known.runtime  # markers have decided
        else:
            values = [v for name, v in target.attributes.items() if name not in _OF_TOOLS]
            for mention in (each for value in values for each in labels_in(value)):
                below = mention if mention in self._targets else self._made_by(mention)
                if below is not None:
                    yield below

    def _made_by(self, file: Label) -> Label | None:
        target = self._maker(file)
        return None if target is None else target.label

    def _origin(self, label: Label) -> Origin | None:
        known = self._analysed.get(label)
        if known is not None and known.label == label and known.origin is not None:
            return known.origin
        cell = self._cells.fetched.get(self._cells.folder(label.cell)) if label.cell else None
        if cell is None:
            return None
        return Origin(cell.name, address=cell.urls[0], sha256=cell.sha256)

    def nearest(self, label: Label) -> tuple[Label, ...]:
        """The code of others that is needed without more of it between, sorted."""
        seen, near = {label}, set()
        waiting = list(self._below[label])
        while waiting:
            each = waiting.pop()
            if each in seen:
                continue
            seen.add(each)
            if each in self.found:
                near.add(each)
            else:
                waiting.extend(self._below.get(each, ()))
        return tuple(sorted(near))
