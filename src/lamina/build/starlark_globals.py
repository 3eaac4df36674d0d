"""The names that BUILD files and .bzl files see, and the door to the Starlark interpreter."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from inspect import Signature, signature
from typing import TYPE_CHECKING

import starlark

from lamina.build import functions, jsontext, prelude, starlark_errors
from lamina.build.coerce import describe
from lamina.build.declare import Schema
from lamina.build.evaluation import CallFault, Evaluation
from lamina.build.markers import Call, Selects
from lamina.build.rule import Rule
from lamina.build.rules import missing
from lamina.build.userrules.definitions import SYMBOLS, Definitions
from lamina.core.classes import replace
from lamina.core.label import Home

if TYPE_CHECKING:
    from lamina.build.workspace import Workspace

_CORE = ("fail", "json", "load", "print", "select", "struct")
_WORD = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
Function = Callable[..., object]
HOME = Home()


def dialect() -> starlark.Dialect:
    """Starlark as BUILD files of both Bazel and Buck use it."""
    chosen = starlark.Dialect.extended()
    chosen.enable_top_level_stmt = True
    chosen.enable_f_strings = True
    chosen.enable_types = starlark.DialectTypes.ENABLE
    return chosen


class Interpreter:
    """Evaluates Starlark text; its functions act on the evaluation that is current.

    An exception raised in one of them comes back from Starlark as mere text, so `raised` keeps it.
    """

    def __init__(self, rules: Mapping[str, Rule], workspace: Workspace | None = None) -> None:
        self.workspace = workspace
        self.selects = Selects()
        self.current: Evaluation | None = None
        self.raised: BaseException | None = None
        self.prints: list[str] = []
        self._dialect = dialect()
        self._globals = starlark.Globals.extended_by(
            [starlark.LibraryExtension.StructType, starlark.LibraryExtension.Json]
        )
        schemas = {id(rule): Schema.of(rule) for rule in rules.values()}
        self._schemas = {name: schemas[id(rule)] for name, rule in rules.items()}
        self.rules = {
            name: self._kept(_rule_function(self, schema, name))
            for name, schema in self._schemas.items()
        }
        self._functions = {
            name: self._kept(_function(self, name, function))
            for name, function in functions.FUNCTIONS.items()
        } | {
            "read_config": self._kept(self._read_config),
            "read_root_config": self._kept(self._read_config),
        }
        self._relative = self._kept(_function(self, "Label", functions.relative_label))
        self._select = self._kept(self._selected)
        self._print = self._kept(self._collect)
        self._in_build = {
            **self.rules,
            **self._functions,
            "select": self._select,
            "print": self._print,
        }
        self.definitions = Definitions(self)

    def evaluate_build(self, path: str, text: str, loader: starlark.FileLoader) -> None:
        """Evaluate a BUILD file for what its calls do; raises StarlarkError."""
        home = Home()
        if self.current is not None:
            self.current.selects, self.current.workspace = self.selects, self.workspace
            self.current.schemas = self._schemas
            home = self.current.scope.home
        module = starlark.Module()
        words = set(_WORD.findall(text))
        for name in self._in_build.keys() & words:  # each costs time, and few are used
            module.add_callable(name, self._in_build[name])
        if not prelude.SYMBOLS.isdisjoint(words):
            self._bring(module, prelude.wanted(text, bzl=False), home)
        self._evaluate(module, path, text, loader)

    def evaluate_bzl(
        self, path: str, text: str, loader: starlark.FileLoader, home: Home = HOME
    ) -> starlark.FrozenModule:
        """Evaluate a .bzl file, which sees `native`, and return its symbols."""
        module = starlark.Module()
        module.add_callable("print", self._print)
        self._bring(module, prelude.wanted(text, bzl=True), home)
        with self.definitions.file(module, path, text, home) as marked:
            self._evaluate(module, path, marked, loader)
        symbols = self.definitions.modules[path] = module.freeze()
        return symbols

    def absent(self, cell: str, symbols: Mapping[str, Iterable[str]]) -> starlark.FrozenModule:
        """What files load from a cell that is not here, each symbol with its fields.

        A call that names a target makes one, which cannot be built; any other gives a label there.
        """
        module, lines = starlark.Module(), []
        for symbol, fields in symbols.items():
            module.add_callable(f"_{symbol}", self._absent(cell, symbol))
            named = ", ".join(f"{field} = _{symbol}" for field in sorted(fields))
            lines.append(f"{symbol} = struct({named})\n" if named else f"{symbol} = _{symbol}\n")
        self.evaluate(module, prelude.PATH, "".join(lines))
        return module.freeze()

    def _absent(self, cell: str, symbol: str) -> Function:
        schema = Schema.of(missing.rule(symbol, f"@{cell}"))

        def call(*_positional: object, **named: object) -> object:
            if self.current is None or not isinstance(named.get("name"), str):
                return f"@{cell}//:{symbol}"
            self.current.call_rule(schema, symbol, (), named)
            return None

        return self._kept(call)

    def evaluate(
        self,
        module: starlark.Module,
        path: str,
        text: str,
        loader: starlark.FileLoader | None = None,
    ) -> None:
        """Evaluate a text of the program's own; raises StarlarkError."""
        tree = starlark.parse(path, text, self._dialect)
        starlark.eval(module, tree, self._globals, loader)

    def read(self, error: starlark.StarlarkError) -> starlark_errors.Trace:
        """The parts of an error, its place as in the file that was read."""
        trace = starlark_errors.read(str(error))
        return replace(trace, place=self.definitions.original(trace.place))

    def show(self, line: str) -> None:
        """Keep what `print` was given."""
        self.prints.append(line)

    def kept(self, function: Function) -> Function:
        """A function for Starlark to call; what it raises is kept in `raised`."""
        return self._kept(function)

    def _bring(self, module: starlark.Module, names: list[str], home: Home) -> None:
        """Define names of the prelude in a module; those of a label are relative to `home`."""
        if not names:
            return
        shared = ", ".join(
            f'{name} = "{prelude.RENAMED.get(name, name)}"' for name in names if name != "Label"
        )
        text = f'load("native", {shared})\n' if shared else ""
        if "Label" in names:
            parts = self._kept(lambda written: functions.label_parts(written, home))
            module.add_callable("_label", parts)
            text += prelude.LABEL
        tree = starlark.parse(prelude.PATH, text, self._dialect)
        loader = starlark.FileLoader(lambda _name: self.built_in)
        starlark.eval(module, tree, self._globals, loader)

    @cached_property
    def built_in(self) -> starlark.FrozenModule:
        """All rules as symbols, `native`, and what else the prelude defines."""
        module = starlark.Module()
        functions_too = {
            name: function
            for name, function in self._functions.items()
            if name not in functions.NOT_NATIVE
        }
        shown = functions_too | self.rules
        for name, function in shown.items():
            module.add_callable(name, function)
        module.add_callable("_select", self._select)
        module.add_callable("_relative_label", self._relative)
        module.add_callable("_json_fault", self._kept(jsontext.fault))
        module.add_callable("_json_indent", self._kept(jsontext.indent))
        names = ", ".join(f"{name} = {name}" for name in (*shown, *prelude.NATIVE))
        text = f"{prelude.text()}native = struct({names})\n"
        starlark.eval(module, starlark.parse(prelude.PATH, text, self._dialect), self._globals)
        return module.freeze()

    def names(self, bzl: bool) -> frozenset[str]:
        """Rules and functions of a file: what a wrong name in it may have meant."""
        if bzl:
            return frozenset({"native", *prelude.SYMBOLS, *SYMBOLS, *_CORE})
        return frozenset({*self.rules, *self._functions, *prelude.SYMBOLS, *_CORE})

    def knows(self, name: str, bzl: bool) -> bool:
        """Whether a name means something in every BUILD file, or in every .bzl file."""
        if name in self.names(bzl):
            return True
        try:
            # A function is no value that can be handed over, so the text ends with one that is.
            tree = starlark.parse("name", f"{name}\nNone\n", self._dialect)
            starlark.eval(starlark.Module(), tree, self._globals)
        except starlark.StarlarkError:
            return False
        return True

    def _evaluate(
        self, module: starlark.Module, path: str, text: str, loader: starlark.FileLoader
    ) -> None:
        self.raised = None
        tree = starlark.parse(path, text, self._dialect)
        starlark.eval(module, tree, self._globals, loader)

    def _selected(self, branches: object = None, no_match_error: object = "") -> object:
        """What a `select()` is worth in Starlark: its branches are a dict, or a list of pairs."""
        pairs = list(branches.items()) if isinstance(branches, dict) else branches
        if not isinstance(pairs, list) or not all(map(_is_pair, pairs)):
            hint = 'write `select({"//:condition": …, "//conditions:default": …})`'
            raise CallFault(f"`select` takes a dict, not {describe(branches)}", hint)
        if not pairs:
            raise CallFault("`select` has no branch", "give it `//conditions:default`")
        call = Call(tuple((key, value) for key, value in pairs), str(no_match_error))
        return self.selects.mark(call)

    def _read_config(self, section: object, key: object, default: object = None) -> object:
        """A setting of `[buckconfig]` in `lamina.toml`, as a string."""
        settings = self.workspace.buckconfig if self.workspace else {}
        return settings.get(str(section), {}).get(str(key), default)

    def _collect(self, *values: object, sep: str = " ") -> None:
        self.prints.append(sep.join(str(value) for value in values))

    def _kept(self, function: Function) -> Function:
        def call(*positional: object, **named: object) -> object:
            try:
                return function(*positional, **named)
            except BaseException as error:
                self.raised = error
                raise

        return call


def _is_pair(value: object) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2


def _rule_function(interpreter: Interpreter, schema: Schema, called: str) -> Function:
    def call(*positional: object, **named: object) -> None:
        _current(interpreter, called).call_rule(schema, called, positional, named)

    return call


def _function(interpreter: Interpreter, name: str, function: Function) -> Function:
    shape = signature(function)

    def call(*positional: object, **named: object) -> object:
        evaluation = _current(interpreter, name)
        try:
            return function(evaluation, *positional, **named)
        except TypeError:
            _check(shape, name, evaluation, positional, named)
            raise

    return call


def _check(
    shape: Signature,
    name: str,
    evaluation: Evaluation,
    positional: Sequence[object],
    named: Mapping[str, object],
) -> None:
    """Raises CallFault where the arguments are not those of a function."""
    try:
        shape.bind(evaluation, *positional, **named)
    except TypeError as error:
        raise CallFault(f"`{name}`: {error}") from error


def _current(interpreter: Interpreter, name: str) -> Evaluation:
    if interpreter.current is None:
        hint = "call it in a function, which BUILD files load and call"
        raise CallFault(f"`{name}` is called while a .bzl file is loaded", hint)
    return interpreter.current
