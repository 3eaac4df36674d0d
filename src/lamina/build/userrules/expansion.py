"""Texts in which something is replaced: templates, `$(location x)`, variables."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

from lamina.build.conditions import HOST
from lamina.build.evaluation import CallFault
from lamina.build.userrules.actions import Command, staged
from lamina.build.userrules.files import Files, generated
from lamina.core.action import OUTPUT_FOLDER, Literal
from lamina.core.errors import UserError
from lamina.core.label import Label

if TYPE_CHECKING:
    from lamina.build.analysis import Context
    from lamina.build.userrules.rules import UserRule

_SCRIPT = ".lamina/template.py"
_VALUES = ".lamina/substitutions.json"
# Bytes are decoded so that every one comes back as it was.
_EXPAND = b"""\
import json, os, sys

values, template, output, executable = sys.argv[1:]
with open(template, encoding="utf-8", errors="surrogateescape", newline="") as file:
    text = file.read()
with open(values, encoding="utf-8") as file:
    for key, value in json.load(file):
        text = text.replace(key, value)
with open(output, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
    file.write(text)
if executable == "True":
    os.chmod(output, 0o755)
"""
_LOCATION = re.compile(
    r"\$\((location|execpath|rootpath|rlocationpath|location|runfilepath)(s?) ([^()]+)\)"
)
_VARIABLE = re.compile(r"\$(?:\$|\(([^()]*)\)|[A-Za-z_@<])")


def template(
    template: str, output: str, substitutions: list[list[str]], executable: bool
) -> Command:
    """The command that replaces texts in a file, one after the other."""
    generates = template.startswith(f"{OUTPUT_FOLDER}/")
    place = staged(template) if generates else template
    values = json.dumps(substitutions).encode()
    return Command(
        parts=({"texts": [_SCRIPT, _VALUES, place, output, str(executable)]},),
        inputs=(template,),
        tools=(),
        outputs=(output,),
        mnemonic="Template",
        literals=((_SCRIPT, Literal(_EXPAND)), (_VALUES, Literal(values))),
        python=True,
    )


def locations(ctx: Context, files: Files, rule: UserRule, text: str) -> str:
    """A text with `$(location x)` and its like replaced by paths; raises CallFault."""

    def replace(match: re.Match[str]) -> str:
        kind, several, written = match[1], match[2], match[3].strip()
        paths = _paths(ctx, files, rule, written, short=kind.startswith("r"))
        if len(paths) != 1 and not several:
            raise CallFault(
                f"`{match[0]}` stands for {len(paths)} files", f"use `$({kind}s {written})`"
            )
        if kind == "rlocationpath":
            paths = [f"{ctx.label.cell or '_main'}/{path}" for path in paths]
        return " ".join(paths)

    return _LOCATION.sub(replace, text)


def _paths(ctx: Context, files: Files, rule: UserRule, written: str, short: bool) -> list[str]:
    try:
        label = ctx.cells.home(ctx.label.cell, ctx.label.package).label(written)
    except UserError as error:
        raise CallFault(error.message, error.hint or "") from error
    own = Label(ctx.label.cell, ctx.label.package, label.name) == label
    if own and label.name in rule.outputs(ctx.target):
        full = ctx.in_package(label.name)
        return [full if short else generated(full)]
    if label not in ctx.target.dependencies():
        raise CallFault(
            f"`$(location {written})` names none of its files",
            f"add `{written}` to an attribute of `{ctx.label}`",
        )
    target = ctx.dep(label)
    if target is not None and target.runnable is not None:
        parts = files.add_tool(ctx, target.label, target.runnable.entry_point)
        return [str(parts[1] if short else parts[0])]
    added = [files.add(file.full, file.artifact) for file in ctx.files(label)]
    return [str(parts[1] if short else parts[0]) for parts in added]


def variables(attribute: str, text: str, known: dict[str, str]) -> str:
    """A text with `$(NAME)` replaced, and `$$` by `$`; raises CallFault."""

    def replace(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        name = match[1] if match[1] is not None else match[0][1:]
        if name not in known:
            raise CallFault(
                f"unknown variable `{match[0]}` in `{attribute}`",
                "write `$$` for a `$` of the shell",
            )
        return known[name]

    return _VARIABLE.sub(replace, text)


def has_constraint(ctx: Context, text: str) -> bool:
    """Whether what is built for has a constraint; known of the machine itself alone."""
    if ctx.configuration.platform not in ("", str(HOST)):
        raise CallFault(
            f"what `{ctx.configuration.platform}` is like is not known here",
            "let a `select()` in the BUILD file ask for constraints",
        )
    machine = {"arm64": "aarch64"}.get(os.uname().machine, os.uname().machine)
    name = text.lstrip("@")
    return name in ("platforms//os:linux", f"platforms//cpu:{machine}")
