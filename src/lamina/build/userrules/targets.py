"""Analyses targets of rules that .bzl files define.

Each target is one small module of Starlark, which loads the rule, the modules of the targets it
depends on, and calls the implementation. What that gives stays in there, frozen, for dependents to
load; only what the program itself needs to know comes out of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import starlark

from lamina.build import prelude, starlark_errors
from lamina.build.analysis import RuleFault
from lamina.build.evaluation import CallFault
from lamina.build.userrules import inputs
from lamina.build.userrules.files import Files
from lamina.build.userrules.implementation import Implementation

if TYPE_CHECKING:
    from lamina.build.analysis import Context
    from lamina.build.faults import Place
    from lamina.build.providers import Analysed
    from lamina.build.userrules.definitions import Definitions
    from lamina.build.userrules.rules import UserRule
    from lamina.core.label import Label

_NAME = "target"  # of a target in its module


class Targets:
    """The targets of one analysis after another; `current` is the one whose rule is called."""

    def __init__(self, definitions: Definitions) -> None:
        self.current: Implementation | None = None
        self._definitions = definitions
        self._analysed: Mapping[Label, Analysed] | None = None
        self._files = Files()
        self._modules: dict[Label, starlark.FrozenModule] = {}

    def analyse(self, rule: UserRule, ctx: Context) -> Analysed:
        """Call the implementation of a rule for a target; raises RuleFault."""
        if ctx.analysed is not self._analysed:
            self._analysed, self._files, self._modules = ctx.analysed, Files(), {}
        self.current = Implementation(rule, ctx, self._files)
        data = inputs.data(rule, ctx)
        labels = {str(label): self._module(ctx, label) for label in inputs.mentioned(rule, ctx)}
        module = starlark.Module()
        module["data"] = json.dumps(data)
        try:
            self._evaluate(module, rule, labels)
        except starlark.StarlarkError as error:
            raise self._fault(error, rule) from error
        self._modules[ctx.label] = module.freeze()
        return self.current.analysed()

    def _module(self, ctx: Context, label: Label) -> starlark.FrozenModule:
        """The module of a target, or of a source file; an alias gives what it stands for."""
        target = ctx.dep(label)
        known = self._modules.get(target.label if target else label)
        if known is not None:
            return known
        module = starlark.Module()
        module["data"] = json.dumps(self._files.foreign(ctx, label))
        text = f'load("prelude", foreign = "lamina_foreign")\n{_NAME} = foreign(data)'
        loader = starlark.FileLoader(lambda _name: self._definitions.prelude)
        self._definitions.interpreter.evaluate(module, prelude.PATH, text, loader)
        frozen = self._modules[target.label if target else label] = module.freeze()
        return frozen

    def _evaluate(
        self, module: starlark.Module, rule: UserRule, deps: Mapping[str, starlark.FrozenModule]
    ) -> None:
        modules = {f"{number}": dep for number, dep in enumerate(deps.values())}
        lines = [f'load("{key}", t{key} = "{_NAME}")' for key in modules]
        entries = ", ".join(f'"{text}": t{number}' for number, text in enumerate(deps))
        lines.append('load("rule", rules = "lamina_rules")')
        call = f'rules["{rule.name}"](lamina_analyse = (data, {{{entries}}}))'
        lines.append(f"{_NAME} = {call}")
        modules["rule"] = self._definitions.modules[rule.path]
        loader = starlark.FileLoader(lambda name: modules[name])
        self._definitions.interpreter.evaluate(module, prelude.PATH, "\n".join(lines), loader)

    def _fault(self, error: starlark.StarlarkError, rule: UserRule) -> BaseException:
        """What to raise for an error in an implementation: its place is in the .bzl file."""
        interpreter = self._definitions.interpreter
        raised, interpreter.raised = interpreter.raised, None
        trace = interpreter.read(error)
        within = f"--> {prelude.PATH}:" in str(error)  # the place is that of the call from outside
        place: Place | None = self._definitions.with_column(trace.place)
        if isinstance(raised, CallFault):
            message, hint = raised.message, raised.hint
        elif raised is not None:
            return raised
        elif trace.message.startswith("fail: "):
            message, hint = trace.message.removeprefix("fail: "), ""
            if not within:  # who wrote it speaks to users of the rule
                place, hint = None, f"`fail` is called at `{trace.place}`"
        else:
            fault = starlark_errors.fault(trace, "", "")
            message, hint = fault.message, "" if fault.hint.startswith("called") else fault.hint
            kind = next((each for each in rule.unchosen if f'"{each}"' in message), "")
            if kind and message.startswith("key "):
                message = f"there is no toolchain for `{kind}`"
                hint = f'write `"{kind}" = "//its:target"` below `[toolchains]` in `lamina.toml`'
        if place is not None and place.path == prelude.PATH:
            place = None
        callers = (trace.frames[:-1] if within else trace.frames) if place else ()
        message += "".join(f"\n  called from `{frame}`" for frame in reversed(callers))
        return RuleFault(message, hint=hint or None, place=place)
