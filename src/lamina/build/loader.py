"""Loads build packages on demand: BUILD files become targets, once each.

Everything that loading read is on record, as files and as folders listed, so that a later run can
tell from stat() alone whether it would read the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from lamina.build import closure, resolve, selects
from lamina.build.buildpackage import BuildPackage
from lamina.build.configuration import DEFAULT, Configuration
from lamina.build.disk import Disk, Listing, View, join
from lamina.build.evaluation import Evaluation, Pending
from lamina.build.faults import Fault, FaultReport, Place, Tolerance
from lamina.build.locations import SourceMap
from lamina.build.rule import Rule, registry
from lamina.build.target import Target
from lamina.build.workspace import Workspace
from lamina.core.errors import UserError
from lamina.core.label import Home, Label, Pattern

if TYPE_CHECKING:
    from ast import Call

    from lamina.build.bzl import Evaluator
    from lamina.build.packagecache import PackageCache


class Loader:
    """The build packages of a workspace, each loaded when first asked for."""

    def __init__(
        self,
        workspace: Workspace,
        rules: Mapping[str, Rule] | None = None,
        configuration: Configuration = DEFAULT,
        cache: Path | None = None,
        disk: Disk | None = None,
    ) -> None:
        """`cache` is the file that keeps loaded packages from one run to the next."""
        self.workspace = workspace
        self.configuration = configuration
        self._rules = rules
        self.cells = workspace.cells
        roots = self.cells.folders.values()
        self._disk = disk or Disk(
            workspace.root, workspace.ignore, workspace.locate, roots, self.cells.build_files
        )
        self.view = View(self._disk)
        self._evaluator: Evaluator | None = None
        self._packages: dict[str, BuildPackage] = {}  # by folder
        self._failed: dict[str, FaultReport] = {}
        self._cache = cache
        self.chosen: set[Label] = set()  # by patterns of many targets: left out if they do not fit
        self.skipped: dict[Label, str] = {}  # those that were left out -> the reason
        self.tolerance: Tolerance | None = None  # else faults are raised
        self.warnings: dict[Label, str] = {}  # deprecated targets -> what to tell of their use

    @cached_property
    def cache(self) -> PackageCache | None:
        """The packages that were loaded in an earlier run."""
        from lamina.build.packagecache import PackageCache

        if self._cache is None:
            return None
        return PackageCache(self._cache, self.workspace, self._disk, self._known_rules())

    def save(self, scratch: Path) -> None:
        """Keep the packages for the next run."""
        if self._packages and self.cache is not None:
            self.cache.save(scratch)

    def package(self, name: str, cell: str = "") -> BuildPackage:
        """A build package; raises a FaultReport with all that is wrong in its BUILD file."""
        folder = self.cells.folder(cell, name)
        if folder in self._failed:
            raise self._failed[folder]
        if folder not in self._packages:
            try:
                self._packages[folder] = self._known(folder) or self._load(name, cell, folder)
            except FaultReport as report:
                self._failed[folder] = report
                raise
        return self._packages[folder]

    def digests(self) -> dict[str, str]:
        """What tells the targets of each package loaded so far, by folder; "" where unknown."""
        cache = self.cache
        return {folder: cache.digest(folder) if cache else "" for folder in self._packages}

    def package_of(self, label: Label) -> BuildPackage:
        """The build package that a label is in; raises a FaultReport."""
        return self.package(label.package, label.cell)

    def is_package(self, name: str, cell: str = "") -> bool:
        """Whether a folder is a build package."""
        return bool(self.view.build_file(self.cells.folder(cell, name)))

    def has(self, package: str, name: str, cell: str = "") -> bool:
        """Whether a build package has a target, or one that makes a file, of this name."""
        loaded = self.package(package, cell)
        return name in loaded.targets or name in loaded.generated

    def path(self, label: Label) -> str:
        """Where the file of this name lies, from the root of the workspace."""
        return join(self.cells.folder(label.cell, label.package), label.name)

    def target(self, label: Label) -> Target:
        """A target by its label; raises a FaultReport when there is none."""
        if not self.cells.has(label.cell) and label.cell:
            raise FaultReport([resolve.missing(self, label)])
        target = self.package_of(label).targets.get(label.name)
        if target is None:
            raise FaultReport([resolve.missing(self, label)])
        return target

    def configured(self, target: Target) -> Target:
        """The target as it is built in this configuration; raises a FaultReport."""
        try:
            return selects.configure(target, self.configuration, self.target)
        except selects.SelectFault as fault:
            place = self.place(target, fault.mention, fault.attribute)
            message = f"`{target.label}`: {fault.message}"
            raise FaultReport([Fault(place, message, fault.hint or "")]) from fault

    def generated(self, label: Label) -> Target | None:
        """The target that makes the file of this label, if one does."""
        if not self.view.build_file(self.cells.folder(label.cell, label.package)):
            return None
        return self.package_of(label).generated.get(label.name)

    def resolve(self, patterns: Iterable[Pattern], manual: bool = False) -> tuple[Label, ...]:
        """The labels that patterns choose, in their order, those of one pattern sorted.

        Targets tagged `manual` are only chosen by name, unless `manual` is set.
        """
        return resolve.labels(self, patterns, manual)

    def closure(self, labels: Iterable[Label]) -> Mapping[Label, Target]:
        """The targets and all that they depend on, dependencies before dependents, configured.

        Raises one FaultReport with every missing target or file, cycle and visibility fault; where
        these are put up with, what they concern is left out.
        """
        return closure.closure(self, labels)

    @property
    def count(self) -> int:
        """How many build packages are loaded so far."""
        return len(self._packages)

    @property
    def inputs(self) -> frozenset[str]:
        """Every file read so far: BUILD and .bzl files."""
        return frozenset().union(*(package.inputs for package in self._packages.values()))

    @property
    def directories(self) -> frozenset[str]:
        """Every folder listed so far, for build packages, globs and source files."""
        return frozenset(self._disk.listed)

    @property
    def listings(self) -> Mapping[str, Listing]:
        """What each of those folders held."""
        return self._disk.listed

    @property
    def prints(self) -> tuple[str, ...]:
        """What `print` was given in BUILD and .bzl files."""
        return tuple(self._evaluator.prints) if self._evaluator else ()

    def place(self, target: Target, mention: Label | None = None, attribute: str = "") -> Place:
        """Where a target is declared, or where in its call it mentions a label or an attribute."""
        package = self.package_of(target.label)
        ordinal = package.ordinals[target.label.name]
        source = self._source(package.build_file)
        home = self.cells.home(package.cell, package.name)
        place, call = self._call(home, package.folder, source, ordinal, target.label.name)
        if call is None:
            return place
        if mention is None:
            return source.within(call, _written_as(target, {attribute})) if attribute else place
        values = target.attributes.items()
        holding = {attribute} if attribute else {n for n, v in values if _holds(v, mention)}
        written = _written_as(target, holding)
        return source.within(call, written, lambda text: _names(text, home, mention))

    def owners(self, path: str) -> tuple[Label, ...]:
        """The targets that name a file of the workspace, in the order of their BUILD file."""
        folder = path.rpartition("/")[0]
        while folder and not self.view.build_file(folder):
            folder = folder.rpartition("/")[0]
        if not self.view.build_file(folder):
            return ()
        cell, package = self.cells.owner(folder)
        file = Label(cell, package, path.removeprefix(f"{folder}/"))
        try:
            targets = self.package(package, cell).targets.values()
        except FaultReport:
            return ()  # it is asked for advice: the fault at hand must not give way to another
        return tuple(target.label for target in targets if file in target.dependencies())

    def _known(self, folder: str) -> BuildPackage | None:
        return self.cache.get(folder) if self.cache is not None else None

    def _load(self, name: str, cell: str, folder: str) -> BuildPackage:
        view = View(self._disk)
        path = view.build_file(folder)
        if not path:
            raise FaultReport([resolve.missing_package(self, name, cell)])
        evaluation = Evaluation(self.cells.home(cell, name), folder, view)
        try:
            modules = self._evaluate().build(path, evaluation)
        except FaultReport as report:
            raise FaultReport([*report.faults, *self._faults(path, evaluation)]) from report
        faults = self._faults(path, evaluation)
        if faults:
            raise FaultReport(faults)
        loads = frozenset[str]().union(*(module.inputs for module in modules))
        package = BuildPackage(
            name=name,
            cell=cell,
            folder=folder,
            build_file=path,
            targets=MappingProxyType(evaluation.targets),
            generated=MappingProxyType(evaluation.generated),
            exports=MappingProxyType(evaluation.exports),
            loads=tuple(sorted(loads)),
            globs=tuple(evaluation.globs),
            inputs=loads | evaluation.inputs | {path},
            directories=frozenset(view.directories),
            ordinals=MappingProxyType(evaluation.ordinals),
        )
        if self.cache is not None:
            self.cache.put(package)
        return package

    def _known_rules(self) -> Mapping[str, Rule]:
        return registry() if self._rules is None else self._rules

    def _evaluate(self) -> Evaluator:
        if self._evaluator is None:
            from lamina.build.bzl import Evaluator  # starlark is met only by who loads a file

            rules = self._known_rules()
            self._evaluator = Evaluator(self.workspace, self._disk, rules)
        return self._evaluator

    def _source(self, path: str) -> SourceMap:
        return SourceMap(path, self._evaluate().text(path))

    def _faults(self, path: str, evaluation: Evaluation) -> list[Fault]:
        """The complaints of an evaluation, with their places."""
        if not evaluation.pending:
            return []
        source = self._source(path)
        return [self._fault(source, evaluation, pending) for pending in evaluation.pending]

    def _fault(self, source: SourceMap, evaluation: Evaluation, pending: Pending) -> Fault:
        home, folder, complaint = evaluation.scope.home, evaluation.folder, pending.complaint
        place, call = self._call(home, folder, source, pending.ordinal, pending.name)
        if call is not None and complaint.attribute:
            element = complaint.element
            is_it = None if element is None else lambda text: text == element
            place = source.within(call, (complaint.attribute,), is_it)
        message = complaint.message
        if pending.also is not None:
            message += f" `{self._call(home, folder, source, pending.also, '')[0]}`"
        return Fault(place, message, complaint.hint)

    def _call(
        self, home: Home, folder: str, source: SourceMap, ordinal: int, name: str
    ) -> tuple[Place, Call | None]:
        """The call in a BUILD file that made a target: itself, or the macro's that did.

        A name that is written once tells it; else the file is evaluated again up to the call.
        """
        named = source.calls_named(name) if name else []
        if len(named) == 1:
            return source.place(named[0]), named[0]
        trapped = Evaluation(home, folder, View(self._disk), trap=ordinal)
        trace = self._evaluate().trace(source.path, trapped)
        if trace is None:
            return Place(source.path), None
        place = trace.line_in(source.path)
        call = source.call_at(place)
        return (source.place(call), call) if call else (place, None)


def _written_as(target: Target, attributes: set[str]) -> set[str]:
    """Attributes under all their names."""
    aliases = {alias for alias, name in target.rule.aliases.items() if name in attributes}
    return attributes | aliases


def _holds(value: object, mention: Label) -> bool:
    if isinstance(value, tuple):
        return any(_holds(element, mention) for element in value)
    if selects.is_open(value):
        every = (*selects.conditions_in(value), *selects.leaves(value))
        return any(_holds(element, mention) for element in every)
    return value == mention


def _names(text: str, home: Home, label: Label) -> bool:
    """Whether a string of a BUILD file is this label."""
    try:
        return home.label(text) == label
    except UserError:
        return False
