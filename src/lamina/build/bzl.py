"""Evaluates BUILD and .bzl files, follows their loads, and puts what went wrong into faults."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import starlark

from lamina.build import loads, nesting, starlark_errors
from lamina.build.disk import Disk, join
from lamina.build.evaluation import CallFault, Evaluation
from lamina.build.faults import Fault, FaultReport, Place, did_you_mean
from lamina.build.locations import SourceMap
from lamina.build.resolve import how_to_map
from lamina.build.rule import Rule
from lamina.build.starlark_globals import Interpreter
from lamina.build.workspace import Workspace
from lamina.core.classes import dataclass, field
from lamina.core.errors import UserError
from lamina.core.label import Home, Label


@dataclass(frozen=True, slots=True)
class Module:
    """A .bzl file that has been evaluated."""

    path: str  # "" for the built-in repositories
    symbols: starlark.FrozenModule
    inputs: frozenset[str] = frozenset()  # the file and all that it loads


@dataclass(slots=True)
class _Importer:
    """What the loads of one file gave, in order."""

    home: Home
    text: str
    loaded: list[Module] = field(default_factory=list)


class Evaluator:
    """Evaluates the files of a workspace; each .bzl file once."""

    def __init__(self, workspace: Workspace, disk: Disk, rules: Mapping[str, Rule]) -> None:
        self._workspace = workspace
        self._cells = workspace.cells
        self._disk = disk
        self._interpreter = Interpreter(rules, workspace)
        self._modules: dict[str, Module] = {}
        self._loading: list[str] = []

    @property
    def prints(self) -> list[str]:
        """What `print` was given, in order."""
        return self._interpreter.prints

    def build(self, path: str, evaluation: Evaluation) -> list[Module]:
        """Evaluate a BUILD file and return what it loads; raises FaultReport."""
        text = self.text(path)
        importer = _Importer(evaluation.scope.home, text)
        self._interpreter.current = evaluation
        try:
            self._interpreter.evaluate_build(path, text, self._file_loader(importer))
        except starlark.StarlarkError as error:
            raise self._report(error, path, text, bzl=False) from error
        finally:
            self._interpreter.current = None
        return importer.loaded

    def trace(self, path: str, evaluation: Evaluation) -> starlark_errors.Trace | None:
        """Evaluate a BUILD file until the evaluation's trap is met, and tell where that is."""
        text, printed = self.text(path), len(self.prints)
        importer = _Importer(evaluation.scope.home, text)
        self._interpreter.current = evaluation
        try:
            self._interpreter.evaluate_build(path, text, self._file_loader(importer))
        except starlark.StarlarkError as error:
            return self._interpreter.read(error)
        finally:
            self._interpreter.current = self._interpreter.raised = None
            del self.prints[printed:]  # they were told the first time
        return None

    def text(self, path: str) -> str:
        """The text of a file of the workspace; raises FaultReport when it cannot be read."""
        try:
            text = Path(self._workspace.locate(path)).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise FaultReport([Fault(Place(path), "not UTF-8 text")]) from error
        except OSError as error:
            raise FaultReport([Fault(Place(path), f"cannot read it: {error.strerror}")]) from error
        nesting.check(path, text)
        return text

    def _file_loader(self, importer: _Importer) -> starlark.FileLoader:
        def load(name: str) -> starlark.FrozenModule:
            evaluation = self._interpreter.current
            self._interpreter.current = None
            try:
                module = self._module(name, importer)
            except BaseException as error:
                self._interpreter.raised = error
                raise
            finally:
                self._interpreter.current = evaluation
            importer.loaded.append(module)
            return module.symbols

        return starlark.FileLoader(load)

    def _module(self, name: str, importer: _Importer) -> Module:
        """The module that a load names; raises CallFault or FaultReport."""
        label = _load_label(name, importer.home)
        if self._cells.is_absent(label.cell):
            symbols = loads.used(importer.text, name)
            return Module("", self._interpreter.absent(label.cell, symbols))
        if label.cell and not self._cells.has(label.cell):
            raise CallFault(f"no repository `@{label.cell}`", how_to_map(label.cell), name)
        path = self._path(label)
        if path not in self._modules:
            inside = self._cells.home(label.cell, label.package)
            self._modules[path] = self._evaluate(path, name, inside)
        return self._modules[path]

    def _path(self, label: Label) -> str:
        return join(self._cells.folder(label.cell, label.package), label.name)

    def _evaluate(self, path: str, name: str, home: Home) -> Module:
        folder, _, file = path.rpartition("/")
        present = self._disk.folder(folder).files
        if file not in present:
            others = [join(folder, other) for other in present if other.endswith(".bzl")]
            raise CallFault(f"no file `{path}` to load", did_you_mean(path, others), name)
        if path in self._loading:
            cycle = [*self._loading[self._loading.index(path) :], path]
            hint = "move what they share into a file of its own"
            raise CallFault(f"load cycle: `{' -> '.join(cycle)}`", hint, name)
        text = self.text(path)
        importer = _Importer(home, text)
        self._loading.append(path)
        try:
            symbols = self._interpreter.evaluate_bzl(
                path, text, self._file_loader(importer), importer.home
            )
        except starlark.StarlarkError as error:
            raise self._report(error, path, text, bzl=True) from error
        finally:
            self._loading.pop()
        return Module(path, symbols, frozenset({path}).union(*(m.inputs for m in importer.loaded)))

    def _report(
        self, error: starlark.StarlarkError, path: str, text: str, bzl: bool
    ) -> BaseException:
        """What to raise in place of a StarlarkError."""
        raised, self._interpreter.raised = self._interpreter.raised, None
        trace = self._interpreter.read(error)
        if isinstance(raised, CallFault):
            return FaultReport([self._call_fault(raised, trace)])
        if raised is not None:
            return (
                raised  # a report on a loaded file; or our own bug, which must not look like theirs
            )
        if re.match(r"Variable `.*` not found", trace.message):
            unknown = self._unknown_names(SourceMap(path, text), bzl)
            if unknown:
                return FaultReport(unknown)
        symbol = re.match(r"Module has no symbol `([^`]*)`", trace.message)
        if symbol:
            return FaultReport([self._unknown_symbol(trace.place, symbol[1], path, text)])
        return FaultReport([_with_column(starlark_errors.fault(trace, path, text), path, text)])

    def _call_fault(self, raised: CallFault, trace: starlark_errors.Trace) -> Fault:
        place = trace.place
        source = SourceMap(place.path, self.text(place.path))
        call = source.call_at(place)
        if call is not None and not place.column:
            place = source.place(call)
        if call is not None and raised.element is not None:
            place = source.string(call, raised.element) or place
        return Fault(place, raised.message, raised.hint or trace.caller)

    def _unknown_names(self, source: SourceMap, bzl: bool) -> list[Fault]:
        called = {id(call.func) for call in source.calls()}
        faults = []
        for node in source.unbound():
            if self._interpreter.knows(node.id, bzl):
                continue
            what = "rule or function" if id(node) in called else "variable"
            hint = did_you_mean(node.id, self._interpreter.names(bzl) | source.symbols())
            if bzl and node.id in self._interpreter.rules:
                hint = f"in a .bzl file write `native.{node.id}`"
            faults.append(Fault(source.place(node), f"no {what} `{node.id}`", hint))
        return faults

    def _unknown_symbol(self, place: Place, symbol: str, path: str, text: str) -> Fault:
        """The fault of a load that asks a file for a symbol which it has not."""
        file = loads.source_of(text, symbol)
        if not file:  # its words are such that the statement cannot be read
            return Fault(place, f"a file that is loaded has no symbol `{symbol}`")
        cell, package = self._cells.owner(path.rpartition("/")[0])
        loaded = self._path(_load_label(file, self._cells.home(cell, package)))
        known = SourceMap(loaded, self.text(loaded)).symbols()
        return Fault(place, f"`{file}` has no symbol `{symbol}`", did_you_mean(symbol, known))


def _with_column(fault: Fault, path: str, text: str) -> Fault:
    """A fault whose place came from a call stack, which has lines alone."""
    if fault.place.path != path or fault.place.column:
        return fault
    source = SourceMap(path, text)
    call = source.call_at(fault.place)
    return Fault(source.place(call), fault.message, fault.hint) if call else fault


def _load_label(name: str, home: Home) -> Label:
    try:
        label = home.label(name)
    except UserError as error:
        raise CallFault(error.message, error.hint or "", name) from error
    if not name.startswith(("//", ":", "@")) and not name.endswith(".bzl"):
        raise CallFault(f"not a file to load: `{name}`", f"did you mean `:{name}`?", name)
    return label
