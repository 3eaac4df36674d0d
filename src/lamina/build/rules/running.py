"""What programs are started with: `args` and `env`, in which labels stand for files.

`$(location x)` becomes the path of the file in the package root, wherever that is mounted.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from types import MappingProxyType

from lamina.build.analysis import Context, RuleFault
from lamina.build.attributes import Attribute, Kind
from lamina.build.conditions import host_cpu
from lamina.build.expansion import Scope, expand
from lamina.build.launchers import ROOT
from lamina.core.errors import UserError
from lamina.core.tree import under

RUNNING: Mapping[str, Attribute] = MappingProxyType(
    {
        "args": Attribute(Kind.STRING_LIST, doc="arguments before those of the command line"),
        "env": Attribute(Kind.STRING_DICT, doc="environment it is started with"),
        "env_inherit": Attribute(Kind.ANY),
    }
)


def arguments(ctx: Context) -> tuple[str, ...]:
    """The `args` of a program for its launcher: macros replaced, words split as a shell would."""
    found: list[str] = []
    for text in ctx.texts("args"):
        expanded = _expanded(ctx, text, "args")
        try:
            found.extend(shlex.split(expanded))
        except ValueError as error:
            raise RuleFault(
                f"`{text}` in `args` is no list of shell words: {str(error).lower()}",
                hint="quotes are paired",
                attribute="args",
            ) from error
    return tuple(found)


def environment(ctx: Context) -> dict[str, str]:
    """The `env` of a program for its launcher."""
    return {name: _expanded(ctx, text, "env") for name, text in ctx.pairs("env")}


def _expanded(ctx: Context, text: str, attribute: str) -> str:
    if "$" not in text:
        return text
    configuration = ctx.configuration
    variables = {
        "COMPILATION_MODE": configuration.compilation_mode,
        "TARGET_CPU": configuration.cpu or host_cpu(),
        **dict(configuration.defines),
    }
    scope = Scope(
        sources=(),
        outputs=(),
        locations=lambda label: _places(ctx, label, attribute),
        variable=variables.get,
        attribute=attribute,
    )
    try:
        return expand(text, scope, strict=False).replace("$$", "$")
    except UserError as error:
        raise RuleFault(error.message, hint=error.hint, attribute=attribute) from error


def _places(ctx: Context, text: str, attribute: str) -> tuple[str, ...]:
    """Where, in the package root, the files of a label lie."""
    label = ctx.cells.home(ctx.label.cell, ctx.label.package).label(text)
    if label not in ctx.target.dependencies():
        raise UserError(
            f"`$(location {text})` in `{attribute}` names none of its files",
            hint=f"add `{text}` to its `data`",
        )
    target = ctx.dep(label)
    if target is not None and target.runnable is not None:
        return (f"{ROOT}/{target.runnable.entry_point}",)
    files = target.own if target is not None and target.own else None
    paths = list(files) if files else [file.full for file in ctx.files(label)]
    return tuple(under(ROOT, path) for path in paths)
