"""Targets and all that they depend on: what is missing, cyclic, hidden, or not to be built here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from lamina.build import checks, fitting
from lamina.build.faults import Fault, FaultReport, Place
from lamina.build.fitting import Misfit
from lamina.build.resolve import find, one
from lamina.build.target import Target
from lamina.build.visibility import admits
from lamina.core.label import Label

if TYPE_CHECKING:
    from lamina.build.loader import Loader


def closure(loader: Loader, wanted: Iterable[Label]) -> Mapping[Label, Target]:
    """The targets and what they depend on; see `Loader.closure`."""
    walk, wanted = _Walk(loader), tuple(wanted)
    for label in wanted:
        walk.add(label)
    walk.leave_out_misfits(wanted)
    tolerance = loader.tolerance
    if tolerance is not None:
        walk.leave_out_blamed()
        tolerance.faults += walk.faults
        tolerance.lost.update(each for each in wanted if each not in walk.done)
        tolerance.lost.difference_update(loader.skipped)
    elif walk.faults:
        raise FaultReport(walk.faults)
    return MappingProxyType(walk.done)


class _Walk:
    """A depth-first walk over targets, without recursion: chains are thousands long."""

    def __init__(self, loader: Loader) -> None:
        self.done: dict[Label, Target] = {}
        self.faults: list[Fault] = []
        self._loader = loader
        self._open: dict[Label, tuple[Target, Label]] = {}  # on the path, and by what mention
        self._misfits: dict[Label, Misfit] = {}
        self._blamed: set[Label] = set()  # those with faults
        self._undecided: set[Label] = set()  # their selects are at fault
        self._found: dict[Label, Target | None] = {}
        self._named: dict[tuple[str, str], set[Label]] = {}  # by cell and build package

    def add(self, label: Label) -> None:
        """Walk from one wanted label."""
        try:
            one(self._loader, label)
            root = find(self._loader, label)
        except FaultReport as report:
            self.faults.extend(report.faults)
            return
        if root is not None and root.label not in self.done:
            self._walk(self._configured(root))

    def _walk(self, root: Target) -> None:
        stack = [(root, self._edges(root))]
        self._open[root.label] = (root, root.label)
        while stack:
            target, edges = stack[-1]
            edge = next(edges, None)
            if edge is None:
                stack.pop()
                del self._open[target.label]
                self.done[target.label] = target
            elif edge[1].label in self._open:
                self._blame(target, [self._cycle(*edge)])
            elif edge[1].label not in self.done:
                mention, below = edge[0], self._configured(edge[1])
                self._open[below.label] = (below, mention)
                stack.append((below, self._edges(below)))

    def _configured(self, target: Target) -> Target:
        """The target with its selects decided, as far as they can be."""
        try:
            why = fitting.misfit(self._loader, target)
            if why is None:
                target = self._loader.configured(target)
                why = fitting.lacking(self._loader, target)
            if why is not None:
                self._misfits[target.label] = why
        except FaultReport as report:
            self._blame(target, report.faults)
            self._undecided.add(target.label)
        return target

    def _blame(self, target: Target, faults: Iterable[Fault]) -> None:
        self.faults.extend(faults)
        self._blamed.add(target.label)

    def _edges(self, target: Target) -> Iterator[tuple[Label, Target]]:
        """What a target mentions and depends on; faults found on the way are kept."""
        if target.label in self._misfits or target.label in self._undecided:
            return
        for mention in target.dependencies():
            try:
                below = self._find(mention)
            except FaultReport as report:
                self._blame(target, [self._placed(each, target, mention) for each in report.faults])
                continue
            hidden = self._hidden(target, mention, below)
            if hidden:
                self._blame(target, [hidden])
            if below is not None:
                self._judge(target, mention, below)
                yield mention, below

    def _find(self, mention: Label) -> Target | None:
        """What a label means, looked for once."""
        if mention not in self._found:
            self._found[mention] = find(self._loader, mention)
        return self._found[mention]

    def _judge(self, target: Target, mention: Label, below: Target) -> None:
        """Note a use that its authors did not mean."""
        fault = checks.for_tests(self._loader, target, mention, below)
        if fault is not None:
            self._blame(target, [fault])
        if below.attributes.get("deprecation") and below.label not in self._loader.warnings:
            warning = checks.deprecation(self._loader, target, mention, below)
            if warning:
                self._loader.warnings[below.label] = warning

    def leave_out_misfits(self, wanted: tuple[Label, ...]) -> None:
        """Drop what cannot be built here; a fault where it was asked for by name."""
        if not self._misfits:
            return
        lost = self._drop(self._misfits)
        for label in wanted:
            culprit = lost.get(label)
            if culprit is not None and label in self._loader.chosen:
                self._loader.skipped[label] = self._misfits[culprit].reason
            elif culprit is not None:
                why = self._misfits[culprit]
                self.faults.append(fitting.told(self._loader, label, culprit, why))

    def leave_out_blamed(self) -> None:
        """Drop what has faults, and what depends on that."""
        if self._blamed:
            self._drop(dict.fromkeys(self._blamed))

    def _drop(self, culprits: Mapping[Label, object]) -> dict[Label, Label]:
        """Drop some targets and those that depend on them; which these are, with their culprit."""
        edges = {label: self._below(target) for label, target in self.done.items()}
        lost = fitting.spread(culprits, edges)
        self.done = {label: each for label, each in self.done.items() if label not in lost}
        return lost

    def _below(self, target: Target) -> list[Label]:
        """The targets that one depends on directly."""
        found = []
        for mention in target.dependencies() if target.label not in self._misfits else ():
            try:
                below = self._find(mention)
            except FaultReport:
                continue  # it has been noted
            found += [below.label] if below is not None else []
        return found

    def _placed(self, fault: Fault, target: Target, mention: Label) -> Fault:
        """A fault with the place of the mention, unless it lies in a file of its own."""
        if fault.place.path:
            return fault
        return Fault(self._loader.place(target, mention), fault.message, fault.hint)

    def _hidden(self, target: Target, mention: Label, below: Target | None) -> Fault | None:
        """The fault of using what is not visible."""
        asker = target.asker(mention)
        if (mention.cell, mention.package) == (asker.cell, asker.package):
            return None
        if target.rule.name == "test_suite":
            return None  # it stands for its tests, as whoever names them does
        package = self._loader.package_of(mention)
        if below is None:
            return self._hidden_file(target, mention, package.exports.get(mention.name))
        if admits(below.visibility, below.label, asker):
            return None
        if checks.granted(self._loader, below.visibility, asker):
            return None
        place = self._loader.place(below, attribute="visibility")
        hint = f'to grant it, add `"{target.label}"` to its `visibility` at `{place}`'
        message = f"`{mention}` is not visible to `{target.label}`"
        return Fault(self._loader.place(target, mention), message, hint)

    def _hidden_file(
        self, target: Target, mention: Label, shown: tuple[str, ...] | None
    ) -> Fault | None:
        asker = target.asker(mention)
        if shown is not None and (
            admits(shown, mention, asker) or checks.granted(self._loader, shown, asker)
        ):
            return None
        if shown is None and mention in self._named_at_home(mention):
            return None
        build_file = self._loader.package_of(mention).build_file
        message = f"the file `{mention}` is not visible to `{target.label}`"
        hint = f'write `exports_files(["{mention.name}"])` or a `filegroup` in `{build_file}`'
        return Fault(self._loader.place(target, mention), message, hint)

    def _named_at_home(self, file: Label) -> set[Label]:
        """What the targets of a file's own build package name: that is there for everybody."""
        home = (file.cell, file.package)
        if home not in self._named:
            targets = self._loader.package_of(file).targets.values()
            self._named[home] = {label for target in targets for label in target.dependencies()}
        return self._named[home]

    def _cycle(self, mention: Label, below: Target) -> Fault:
        """The cycle that an edge closes, told from its smallest label, each step with its place."""
        path = list(self._open.values())
        start = next(i for i, (on_path, _) in enumerate(path) if on_path.label == below.label)
        members = [on_path for on_path, _ in path[start:]]
        mentions = [by for _, by in path[start + 1 :]] + [mention]
        first = members.index(min(members, key=lambda member: member.label))
        members = members[first:] + members[:first]
        mentions = mentions[first:] + mentions[:first]
        edges = zip(members, mentions, strict=True)
        return _told(members, [self._loader.place(*edge) for edge in edges])


def _told(members: list[Target], places: list[Place]) -> Fault:
    names = [str(member.label) for member in [*members, members[0]]]
    steps = [
        f"  {place}: `{name}` depends on `{below}`"
        for place, name, below in zip(places, names[:-1], names[1:], strict=True)
    ]
    message = "\n".join([f"dependency cycle: `{' -> '.join(names)}`", *steps])
    return Fault(places[0], message, "remove one of these dependencies")
