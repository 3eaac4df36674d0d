"""The names that BUILD files and .bzl files see, and the door to the Starlark interpreter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from inspect import signature

import starlark

from lamina.build.declare import Schema
from lamina.build.evaluation import CallFault, Evaluation
from lamina.build.rule import Rule

_FUNCTIONS = (
    "glob",
    "package",
    "package_name",
    "repository_name",
    "exports_files",
    "licenses",
)
_CORE = ("fail", "json", "load", "print", "struct")
_NOT_NATIVE = ("package", "licenses")
Function = Callable[..., object]


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

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        self.current: Evaluation | None = None
        self.raised: BaseException | None = None
        self.prints: list[str] = []
        self._dialect = dialect()
        self._globals = starlark.Globals.extended_by(
            [starlark.LibraryExtension.StructType, starlark.LibraryExtension.Json]
        )
        schemas = {id(rule): Schema.of(rule) for rule in rules.values()}
        self.rules = {
            name: self._kept(_rule_function(self, schemas[id(rule)], name))
            for name, rule in rules.items()
        }
        self._functions = {name: self._kept(_function(self, name)) for name in _FUNCTIONS}
        self._print = self._kept(self._collect)

    def evaluate_build(self, path: str, text: str, loader: starlark.FileLoader) -> None:
        """Evaluate a BUILD file for what its calls do; raises StarlarkError."""
        module = starlark.Module()
        for name, function in (*self.rules.items(), *self._functions.items()):
            module.add_callable(name, function)
        self._evaluate(module, path, text, loader)

    def evaluate_bzl(
        self, path: str, text: str, loader: starlark.FileLoader
    ) -> starlark.FrozenModule:
        """Evaluate a .bzl file, which sees `native`, and return its symbols."""
        module = starlark.Module()
        prelude = starlark.parse("native", 'load("native", "native")', self._dialect)
        starlark.eval(
            module, prelude, self._globals, starlark.FileLoader(lambda _name: self.built_in)
        )
        self._evaluate(module, path, text, loader)
        return module.freeze()

    @cached_property
    def built_in(self) -> starlark.FrozenModule:
        """All rules as symbols, and `native`: what loads from built-in repositories give."""
        module = starlark.Module()
        shown = {n: f for n, f in self._functions.items() if n not in _NOT_NATIVE} | self.rules
        for name, function in shown.items():
            module.add_callable(name, function)
        text = f"native = struct({', '.join(f'{name} = {name}' for name in shown)})"
        starlark.eval(module, starlark.parse("native", text, self._dialect), self._globals)
        return module.freeze()

    def names(self, bzl: bool) -> frozenset[str]:
        """Rules and functions of a file: what a wrong name in it may have meant."""
        return (
            frozenset({"native", *_CORE}) if bzl else frozenset({*self.rules, *_FUNCTIONS, *_CORE})
        )

    def knows(self, name: str, bzl: bool) -> bool:
        """Whether a name means something in every BUILD file, or in every .bzl file."""
        if name in self.names(bzl):
            return True
        try:
            tree = starlark.parse("name", name, self._dialect)
            starlark.eval(starlark.Module(), tree, self._globals)
        except starlark.StarlarkError:
            return False
        return True

    def _evaluate(
        self, module: starlark.Module, path: str, text: str, loader: starlark.FileLoader
    ) -> None:
        self.raised = None
        module.add_callable("print", self._print)
        tree = starlark.parse(path, text, self._dialect)
        starlark.eval(module, tree, self._globals, loader)

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


def _rule_function(interpreter: Interpreter, schema: Schema, called: str) -> Function:
    def call(*positional: object, **named: object) -> None:
        _current(interpreter, called).call_rule(schema, called, positional, named)

    return call


def _function(interpreter: Interpreter, name: str) -> Function:
    shape = signature(getattr(Evaluation, name))

    def call(*positional: object, **named: object) -> object:
        evaluation = _current(interpreter, name)
        try:
            shape.bind(evaluation, *positional, **named)
        except TypeError as error:
            raise CallFault(f"`{name}`: {error}") from error
        function: Function = getattr(evaluation, name)
        return function(*positional, **named)

    return call


def _current(interpreter: Interpreter, name: str) -> Evaluation:
    if interpreter.current is None:
        hint = "call it in a function, which BUILD files load and call"
        raise CallFault(f"`{name}` is called while a .bzl file is loaded", hint)
    return interpreter.current
