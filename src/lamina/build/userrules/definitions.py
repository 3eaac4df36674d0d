"""What .bzl files define for rules: `rule()`, `provider()`, and the names these go by.

Functions cannot leave the interpreter. So `rule()` runs in it, in `prelude/`, and gives back a
function that keeps the implementation; this side only has a number and what can be written down.
The function learns its name when the file ends, and is found again by it in the frozen module.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import starlark

from lamina.build import prelude
from lamina.build.declare import Schema
from lamina.build.evaluation import CallFault
from lamina.build.faults import Place
from lamina.build.locations import SourceMap
from lamina.build.userrules import marks
from lamina.core.classes import dataclass, field, replace
from lamina.core.label import Home

if TYPE_CHECKING:
    from lamina.build.starlark_globals import Interpreter
    from lamina.build.userrules.rules import UserRule

_PRELUDE = Path(__file__).with_name("prelude")
_PARTS = ("values", "providers", "files", "cxx", "actions", "context", "rules")  # in this order
SYMBOLS = (
    "AnalysisFailureInfo", "AnalysisTestResultInfo", "BuildSettingInfo", "CcInfo",
    "CcToolchainConfigInfo", "DebugPackageInfo", "DefaultInfo", "InstrumentedFilesInfo", "JavaInfo",
    "JavaPluginInfo", "OutputGroupInfo", "ProtoInfo", "PyInfo", "PyRuntimeInfo",
    "RunEnvironmentInfo", "analysis_test_transition", "apple_common", "aspect", "attr", "cc_common",
    "config", "config_common", "configuration_field", "coverage_common", "depset", "exec_group",
    "java_common", "macro", "module_extension", "platform_common", "proto_common", "provider",
    "repository_rule", "rule", "subrule", "tag_class", "testing", "transition", "visibility",
)  # fmt: skip
_OTHERS = {
    "print": "lamina_print",
    "str": "lamina_str",
    "type": "lamina_type",
}
_MENTION = re.compile(rf"\b({'|'.join(SYMBOLS)})\b|\b(print|str|type)\(")
# What a file of mere macros has none of: it is left as it is.
_CONCERNED = re.compile(rf"\b(?:{'|'.join(SYMBOLS)}|ctx|\w+Info)\b")
# Rules and providers of a file as the program finds them again, also those with a `_` in front.
RULES = "lamina_rules"
_LIST = "`docs/user-rules.md` lists what is there"


@dataclass(slots=True)
class _File:
    """A .bzl file while it is evaluated."""

    path: str
    home: Home
    unnamed: set[int] = field(default_factory=set)  # what it has defined so far


class Definitions:
    """The rules and providers that the .bzl files of an interpreter define."""

    def __init__(self, interpreter: Interpreter) -> None:
        self.interpreter = interpreter
        self.modules: dict[str, starlark.FrozenModule] = {}
        self._files: list[_File] = []
        self._rules: dict[int, UserRule] = {}
        self._providers: dict[int, str] = {}
        self._marks: dict[str, marks.Marked] = {}
        self._texts: dict[str, str] = {}
        self._count = 0

    @contextmanager
    def file(self, module: starlark.Module, path: str, text: str, home: Home) -> Iterator[str]:
        """Give a .bzl file the names it mentions and its text with marks; name what it defines."""
        marked = marks.Marked(text, {})
        if _CONCERNED.search(text):
            self._texts[path] = text
            marked = self._marks[path] = marks.mark(text)
            self._bring(module, marked.text)
        self._files.append(_File(path, home))
        try:
            yield marked.text
            if self._files[-1].unnamed:
                self._export(module, text)
        finally:
            self._files.pop()

    def original(self, place: Place) -> Place:
        """A place in a file as it was written."""
        marked = self._marks.get(place.path)
        return marked.original(place) if marked else place

    def with_column(self, place: Place) -> Place:
        """A place from a call stack, which has lines alone, as that of the call there."""
        if place.column or place.path not in self._texts:
            return place
        source = SourceMap(place.path, self._texts[place.path])
        call = source.call_at(place)
        return source.place(call) if call else place

    @cached_property
    def prelude(self) -> starlark.FrozenModule:
        """What the files get their names from."""
        module = starlark.Module()
        for name, function in self._host().items():
            module.add_callable(f"_host_{name}", self.interpreter.kept(function))
        for part in _PARTS:
            text = (_PRELUDE / f"{part}.bzl").read_text(encoding="utf-8")
            self.interpreter.evaluate(module, prelude.PATH, text)
        return module.freeze()

    @cached_property
    def targets(self) -> Any:
        """How targets of these rules are analysed."""
        from lamina.build.userrules.targets import Targets  # met only by who uses such a rule

        return Targets(self)

    def _bring(self, module: starlark.Module, text: str) -> None:
        found = {name for match in _MENTION.findall(text) for name in match if name}
        if "str" in found and "str" not in prelude.wanted(text, bzl=True):
            found.remove("str")
        loads = [f'{name} = "{_OTHERS.get(name, name)}"' for name in sorted(found)]
        loads += [f'"{name}"' for name in (marks.AT, marks.TEXT) if f"{name}(" in text]
        if loads:
            line = f"load({json.dumps(prelude.PATH)}, {', '.join(loads)})"
            loader = starlark.FileLoader(lambda _name: self.prelude)
            self.interpreter.evaluate(module, prelude.PATH, line, loader)

    def _export(self, module: starlark.Module, text: str) -> None:
        entries = ", ".join(f'"{name}": {name}' for name in _assigned(text))
        line = f'load("prelude", export = "lamina_export")\n{RULES} = export({{{entries}}})'
        loader = starlark.FileLoader(lambda _name: self.prelude)
        self.interpreter.evaluate(module, prelude.PATH, line, loader)

    def _host(self) -> Mapping[str, Callable[..., object]]:
        """The functions that the prelude calls."""
        analysing = {
            name: self._analysing(name)
            for name in (
                "action", "blame", "declare", "expand_location", "expand_variables", "finish",
                "has_constraint", "is_made", "same", "template", "tool", "write",
            )
        }  # fmt: skip
        return {
            "call_rule": self._call_rule,
            "name_provider": self._name_provider,
            "name_rule": self._name_rule,
            "new_provider": self._new,
            "new_rule": self._new_rule,
            "print": self.interpreter.show,
            "provider": lambda number: self._providers.get(number, "an unnamed provider"),
            "serial": self._serial,
            "tokenize": _tokenize,
            "toolchains": self._toolchains,
            **analysing,
        }

    def _analysing(self, name: str) -> Callable[..., object]:
        def call(*arguments: object) -> object:
            function: Callable[..., object] = getattr(self.targets.current, name)
            return function(*arguments)

        return call

    def _serial(self) -> int:
        self._count += 1
        return self._count

    def _new(self) -> int:
        """The number of something new, which the file that is evaluated may give a name to."""
        number = self._serial()
        if self._files:
            self._files[-1].unnamed.add(number)
        return number

    def _name_provider(self, number: int, name: str) -> None:
        self._providers.setdefault(number, name)

    def _new_rule(self, spec: dict[str, Any]) -> int:
        from lamina.build.userrules.rules import define

        if not self._files:
            raise CallFault(
                "`rule` is called by a BUILD file", "call it at the top of a .bzl file, for a name"
            )
        number = self._new()
        self._rules[number] = define(self, spec, self._files[-1].home)
        return number

    def _toolchains(self, kinds: list[str]) -> dict[str, list[str]]:
        """The types that a toolchain is chosen for -> a name for an attribute, and the target."""
        workspace = self.interpreter.workspace
        if workspace is None or not workspace.toolchains or not self._files:
            return {}
        root = workspace.cells.home("", "")
        chosen = {root.label(kind): label for kind, label in workspace.toolchains.items()}
        home = self._files[-1].home
        found = {kind: chosen.get(home.label(kind.removeprefix("@@"))) for kind in kinds}
        return {
            kind: [f"_lamina_toolchain_{number}", str(root.label(label))]
            for number, (kind, label) in enumerate(found.items())
            if label is not None
        }

    def _name_rule(self, number: int, name: str) -> None:
        rule = self._rules[number]
        if not rule.name and self._files and number in self._files[-1].unnamed:
            rule.name, rule.path = name, self._files[-1].path

    def _call_rule(self, number: int, positional: list[object], named: dict[str, object]) -> None:
        defined = self._rules[number]
        if self.interpreter.current is None:
            raise CallFault(
                "a rule is called while a .bzl file is loaded",
                "call it in a function, which BUILD files load and call",
            )
        if not defined.name:
            raise CallFault(
                "this rule has no name", "give it one at the top of its file: `my_rule = rule(…)`"
            )
        if defined.test and not defined.name.endswith("_test"):
            raise CallFault(
                f"the test rule `{defined.name}` is not called like one",
                f"call it `{defined.name}_test`",
            )
        self.interpreter.current.call_rule(self._schema(defined), defined.name, positional, named)

    def _schema(self, defined: UserRule) -> Schema:
        if defined.schema is None and defined.absent:
            known = replace(defined.rule(), missing=f"rules with {defined.absent}", doc=_LIST)
            defined.schema = Schema.of(known)
        elif defined.schema is None:
            defined.schema = Schema.of(defined.rule())
        return defined.schema


def _assigned(text: str) -> list[str]:
    """The global variables of a file."""
    tree = marks.parsed(text)
    if tree is None:
        return re.findall(r"^([A-Za-z_]\w*)\s*=(?!=)", text, re.MULTILINE)
    names: dict[str, None] = {}
    for statement in tree.body:
        for target in statement.targets if isinstance(statement, ast.Assign) else ():
            found = [node for node in ast.walk(target) if isinstance(node, ast.Name)]
            names.update(dict.fromkeys(n.id for n in found if isinstance(n.ctx, ast.Store)))
    return list(names)


def _tokenize(text: str) -> list[str]:
    import shlex

    try:
        return shlex.split(text)
    except ValueError as error:
        raise CallFault(f"`{text}` is no list of shell words: {str(error).lower()}") from error
