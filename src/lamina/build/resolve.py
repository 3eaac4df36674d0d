"""Labels and patterns become targets: what each means, what is missing, and the whole closure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from lamina.build import checks
from lamina.build.discovery import build_packages
from lamina.build.disk import join
from lamina.build.faults import NOWHERE, Fault, FaultReport, Place, did_you_mean, nearest
from lamina.build.target import Target
from lamina.build.visibility import admits
from lamina.core.label import Label, Pattern

if TYPE_CHECKING:
    from lamina.build.loader import Loader


def labels(loader: Loader, patterns: Iterable[Pattern], manual: bool) -> tuple[Label, ...]:
    """The labels that patterns choose; see `Loader.resolve`."""
    chosen: dict[Label, None] = {}
    faults: list[Fault] = []
    for pattern in patterns:
        if pattern.subtract:
            chosen = {label: None for label in chosen if not pattern.matches(label)}
            continue
        try:
            chosen.update(dict.fromkeys(_chosen(loader, pattern, manual)))
        except FaultReport as report:
            faults.extend(report.faults)
    if faults:
        raise FaultReport(faults)
    return tuple(chosen)


def _chosen(loader: Loader, pattern: Pattern, manual: bool) -> list[Label]:
    if pattern.cell and not loader.cells.has(pattern.cell):
        raise FaultReport([no_cell(pattern.cell, str(pattern))])
    if pattern.label is not None:
        label = _one(loader, pattern.label)
        loader.chosen.discard(label)
        return [label]
    names = [pattern.package]
    if pattern.recursive:
        names = below(loader, pattern)
    found = [
        target.label
        for package in _packages(loader, names, pattern.cell)
        for _, target in sorted(package.items())
        if manual or "manual" not in _tags(target)
    ]
    loader.chosen.update(found)
    return found


def _one(loader: Loader, label: Label) -> Label:
    """The label of the target that a label names: a generated file stands for its maker."""
    target = _find(loader, label)
    if target is None:
        hint = "name a target that has the file in its `srcs`"
        raise FaultReport([Fault(NOWHERE, f"`{label}` is a source file, not a target", hint)])
    return target.label


def below(loader: Loader, pattern: Pattern) -> list[str]:
    """The build packages in and below the folder of a pattern, as their cell calls them."""
    root = loader.cells.folder(pattern.cell)
    start = loader.cells.folder(pattern.cell, pattern.package)
    found = [folder[len(root) :].lstrip("/") for folder in build_packages(loader.view, start)]
    if not found:
        exists = loader.view.has_folder(start)
        what = f"no BUILD file in or below `{pattern.package or '.'}`"
        message = what if exists else f"no folder `{pattern.package}`"
        hint = "write one: `BUILD`, `BUILD.bazel` or `BUCK`"
        hint = hint if exists else _sibling(loader, pattern.package, "//{}/...")
        if hint.startswith("there is no folder"):
            hint = "`lamina targets` lists all targets"
        raise FaultReport([Fault(NOWHERE, f"`{pattern}` finds nothing: {message}", hint)])
    return found


def _packages(loader: Loader, names: list[str], cell: str) -> list[Mapping[str, Target]]:
    """The targets of several build packages; the faults of all of them are reported at once."""
    found: list[Mapping[str, Target]] = []
    faults: list[Fault] = []
    for name in names:
        try:
            found.append(loader.package(name, cell).targets)
        except FaultReport as report:
            faults.extend(report.faults)
    if faults:
        raise FaultReport(faults)
    return found


def _tags(target: Target) -> tuple[str, ...]:
    tags = target.attributes.get("tags")
    return tags if isinstance(tags, tuple) else ()


def _find(loader: Loader, label: Label) -> Target | None:
    """The target that a label means, or the one that makes its file; None for a source file.

    Raises a FaultReport without a place when there is none, or when its BUILD file has faults.
    """
    if label.cell and not loader.cells.has(label.cell):
        raise FaultReport([no_cell(label.cell, str(label))])
    if not loader.is_package(label.package, label.cell):
        raise FaultReport([missing(loader, label)])
    package = loader.package_of(label)
    target = package.targets.get(label.name) or package.generated.get(label.name)
    if target is None and (_border(loader, label) or not loader.view.has_file(loader.path(label))):
        raise FaultReport([missing(loader, label)])
    return target


def _border(loader: Loader, label: Label) -> str:
    """The build package below the label's own that its path leads into, or ""."""
    parts = label.name.split("/")[:-1]
    home = loader.cells.folder(label.cell, label.package)
    folders = [join(home, "/".join(parts[: n + 1])) for n in range(len(parts))]
    return next((path for path in reversed(folders) if loader.view.build_file(path)), "")


def missing(loader: Loader, label: Label) -> Fault:
    """The fault of a label that names nothing."""
    if label.cell and not loader.cells.has(label.cell):
        return no_cell(label.cell, str(label))
    if not loader.is_package(label.package, label.cell):
        return missing_package(loader, label.package, label.cell, label)
    border = _border(loader, label)
    if border:
        below = loader.path(label).removeprefix(border + "/")
        inner = Label(*loader.cells.owner(border), below)
        message = f"`{label}` crosses into the build package `{inner.home}`"
        return Fault(NOWHERE, message, f"write `{inner}`")
    if loader.view.has_folder(loader.path(label)):
        hint = f'name its files: `glob(["{label.name}/**"])`'
        return Fault(NOWHERE, f"`{label}` is a folder, not a target or file", hint)
    return Fault(NOWHERE, f"no target or file `{label}`", _meant(loader, label))


def no_cell(cell: str, text: str) -> Fault:
    """The fault of a label in a cell that is nowhere."""
    hint = f'if its files are here, write `{cell} = "its/folder"` below `[cells]` in `lamina.toml`'
    return Fault(NOWHERE, f"no repository `@{cell}` for `{text}`", hint)


def _meant(loader: Loader, label: Label) -> str:
    """A hint at the nearest target or file of the build package."""
    package = loader.package_of(label)
    files = loader.view.folder(loader.path(label).rpartition("/")[0]).files
    folder = label.name.rpartition("/")[0]
    known = {*package.targets, *package.generated, *(join(folder, file) for file in files)}
    otherwise = f"`{package.build_file}` declares no target of this name"
    return did_you_mean(label.name, known, otherwise, f"{label.home}:{{}}")


def missing_package(loader: Loader, name: str, cell: str, label: Label | None = None) -> Fault:
    """The fault of a build package that does not exist, perhaps needed for a label."""
    wanted = f", needed for `{label}`" if label else ""
    message = f"no build package `{Label(cell, name, '').home}`{wanted}"
    folder = loader.cells.folder(cell, name)
    if loader.view.has_folder(folder):
        return Fault(NOWHERE, message, f"`{folder or '.'}` has no BUILD file: write one")
    return Fault(NOWHERE, message, "" if cell else _sibling(loader, name, "//{}"))


def _sibling(loader: Loader, name: str, form: str) -> str:
    """A hint at a folder with a like name, beside the first folder of the path that is missing."""
    parts = name.split("/")
    for number, part in enumerate(parts):
        parent = "/".join(parts[:number])
        folders = loader.view.folder(parent).folders
        if part not in folders:
            found = nearest(part, folders)
            rest = [parent, found, *parts[number + 1 :]]
            path = "/".join(piece for piece in rest if piece)
            return (
                f"did you mean `{form.format(path)}`?" if found else f"there is no folder `{name}`"
            )
    return ""


def closure(loader: Loader, wanted: Iterable[Label]) -> Mapping[Label, Target]:
    """The targets and what they depend on; see `Loader.closure`."""
    walk, wanted = _Walk(loader), tuple(wanted)
    for label in wanted:
        walk.add(label)
    walk.leave_out(wanted)
    if walk.faults:
        raise FaultReport(walk.faults)
    return MappingProxyType(walk.done)


class _Walk:
    """A depth-first walk over targets, without recursion: chains are thousands long."""

    def __init__(self, loader: Loader) -> None:
        self.done: dict[Label, Target] = {}
        self.faults: list[Fault] = []
        self._loader = loader
        self._open: dict[Label, tuple[Target, Label]] = {}  # on the path, and by what mention
        self._misfits: dict[Label, Label] = {}  # what is not for the platform -> what that lacks
        self._undecided: set[Label] = set()  # their selects are at fault
        self._found: dict[Label, Target | None] = {}

    def add(self, label: Label) -> None:
        """Walk from one wanted label."""
        try:
            _one(self._loader, label)
            root = _find(self._loader, label)
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
                self.faults.append(self._cycle(*edge))
            elif edge[1].label not in self.done:
                mention, below = edge[0], self._configured(edge[1])
                self._open[below.label] = (below, mention)
                stack.append((below, self._edges(below)))

    def _configured(self, target: Target) -> Target:
        """The target with its selects decided, as far as they can be."""
        try:
            lacking = checks.misfit(self._loader, target)
            if lacking is not None:
                self._misfits[target.label] = lacking
                return target
            return self._loader.configured(target)
        except FaultReport as report:
            self.faults.extend(report.faults)
            self._undecided.add(target.label)
            return target

    def _edges(self, target: Target) -> Iterator[tuple[Label, Target]]:
        """What a target mentions and depends on; faults found on the way are kept."""
        if target.label in self._misfits or target.label in self._undecided:
            return
        for mention in target.dependencies():
            try:
                below = self._find(mention)
            except FaultReport as report:
                self.faults.extend(self._placed(fault, target, mention) for fault in report.faults)
                continue
            hidden = self._hidden(target, mention, below)
            if hidden:
                self.faults.append(hidden)
            if below is not None:
                self._judge(target, mention, below)
                yield mention, below

    def _find(self, mention: Label) -> Target | None:
        """What a label means, looked for once."""
        if mention not in self._found:
            self._found[mention] = _find(self._loader, mention)
        return self._found[mention]

    def _judge(self, target: Target, mention: Label, below: Target) -> None:
        """Note a use that its authors did not mean."""
        fault = checks.for_tests(self._loader, target, mention, below)
        if fault is not None:
            self.faults.append(fault)
        if below.attributes.get("deprecation") and below.label not in self._loader.warnings:
            warning = checks.deprecation(self._loader, target, mention, below)
            if warning:
                self._loader.warnings[below.label] = warning

    def leave_out(self, wanted: tuple[Label, ...]) -> None:
        """Drop what cannot be built for the platform; a fault where it was asked for by name."""
        if not self._misfits:
            return
        edges = {label: self._below(target) for label, target in self.done.items()}
        lost = checks.spread(self._misfits, edges)
        for label in wanted:
            culprit = lost.get(label)
            if culprit is not None and label in self._loader.chosen:
                self._loader.skipped[label] = culprit
            elif culprit is not None:
                constraint = self._misfits[culprit]
                self.faults.append(checks.told(self._loader, label, culprit, constraint))
        self.done = {label: each for label, each in self.done.items() if label not in lost}

    def _below(self, target: Target) -> list[Label]:
        """The targets that one depends on directly."""
        found = []
        for mention in target.dependencies() if target.label not in self._misfits else ():
            try:
                below = _find(self._loader, mention)
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
        build_file = self._loader.package_of(mention).build_file
        message = f"the file `{mention}` is not visible to `{target.label}`"
        hint = f'write `exports_files(["{mention.name}"])` or a `filegroup` in `{build_file}`'
        return Fault(self._loader.place(target, mention), message, hint)

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
