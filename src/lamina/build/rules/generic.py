"""Rules of no language: commands that make files, and names for groups of files."""

from __future__ import annotations

import shlex

from lamina.build.analysis import Context, RuleFault
from lamina.build.attributes import Attribute, Kind
from lamina.build.disk import join
from lamina.build.expansion import Scope, expand
from lamina.build.providers import Analysed
from lamina.build.rule import Rule
from lamina.core.action import OUTPUT_FOLDER, Artifact
from lamina.core.errors import UserError
from lamina.core.label import Label

_TOOLS = "tools"  # where, in a genrule's folder, the package roots of its tools lie


def filegroup(ctx: Context) -> Analysed:
    """`filegroup`: a name for files and for the outputs of targets."""
    plain, carried = ctx.data("srcs", "resources")
    return Analysed(
        ctx.label,
        files=tuple((source.full, source.artifact) for source in plain),
        runtime=tuple(target.label for target in carried),
    )


def genrule(ctx: Context) -> Analysed:
    """`genrule`: a shell command that makes files from files."""
    outputs = _outputs(ctx)
    inputs, places = _inputs(ctx)
    sources = tuple(path for source in ctx.sources("srcs") for path in places[source.label])
    scope = Scope(
        sources=tuple(dict.fromkeys(sources)),
        outputs=tuple(f"{OUTPUT_FOLDER}/{ctx.in_package(path)}" for path in outputs),
        locations=lambda text: _locations(ctx, text, places, outputs),
        output_folder=join(OUTPUT_FOLDER, ctx.label.package),
    )
    command = _expanded(ctx, scope)
    if ctx.flag("executable"):
        command += f"\nchmod +x {shlex.join(scope.outputs)}"
    full = [ctx.in_package(path) for path in outputs]
    action = ctx.action(
        "Genrule",
        ["/bin/bash", "-c", f"set -euo pipefail\n{command}"],
        inputs,
        full,
        subject=" ".join(full),
        environment={
            "SRCS": " ".join(scope.sources),
            "OUT": scope.outputs[0] if len(scope.outputs) == 1 else scope.output_folder,
            "OUTS": " ".join(scope.outputs),
            "SRCDIR": ctx.label.package or ".",
            "TMP": "/tmp",
            **dict(ctx.pairs("env")),
        },
    )
    return Analysed(ctx.label, files=tuple((path, action.output(path)) for path in full))


def _expanded(ctx: Context, scope: Scope) -> str:
    """The command with its macros replaced."""
    attribute = "cmd_bash" if ctx.text("cmd_bash") else "cmd"
    command = ctx.text(attribute)
    if not command:
        raise RuleFault("it has no `cmd`", hint='say how its files are made: `cmd = "… > $@"`')
    try:
        return expand(command, scope, strict=not ctx.given("out"))
    except UserError as error:
        raise RuleFault(error.message, hint=error.hint, attribute=attribute) from error


def _outputs(ctx: Context) -> tuple[str, ...]:
    outputs = (*ctx.texts("outs"), *((ctx.text("out"),) if ctx.text("out") else ()))
    if not outputs:
        raise RuleFault("it has no `outs`", hint='list what it makes: `outs = ["x.h"]`')
    return outputs


def _inputs(ctx: Context) -> tuple[dict[str, Artifact], dict[Label, tuple[str, ...]]]:
    """The files the command sees, and where those of each label lie."""
    inputs: dict[str, Artifact] = {}
    places: dict[Label, tuple[str, ...]] = {}
    for source in ctx.sources("srcs"):
        inputs[source.full] = source.artifact
        places[source.label] = (*places.get(source.label, ()), source.full)
    for label in ctx.labels("tools"):
        _add_tool(ctx, label, inputs, places)
    return inputs, places


def _add_tool(
    ctx: Context,
    label: Label,
    inputs: dict[str, Artifact],
    places: dict[Label, tuple[str, ...]],
) -> None:
    tool = ctx.dep(label)
    if tool is not None and tool.runnable is not None:
        root = f"{_TOOLS}/{join(label.package, label.name)}"
        for part in ctx.runtime_closure(tool):
            inputs.update({f"{root}/{path}": file for path, file in part.own.items()})
        places[label] = (f"{root}/{tool.runnable.entry_point}",)
        return
    files = [source for source in ctx.sources("tools") if source.label == label]
    inputs.update({file.full: file.artifact for file in files})
    places[label] = tuple(file.full for file in files)


def _locations(
    ctx: Context, text: str, places: dict[Label, tuple[str, ...]], outputs: tuple[str, ...]
) -> tuple[str, ...]:
    label = Label.parse(text, ctx.label.package)
    if label.package == ctx.label.package and label.name in outputs:
        return (f"{OUTPUT_FOLDER}/{ctx.in_package(label.name)}",)
    if label not in places:
        raise UserError(
            f"`$(location {text})` in `cmd` names none of its inputs",
            hint=f"add `{text}` to its `srcs` or `tools`",
        )
    return places[label]


RULES = (
    Rule(
        "filegroup",
        {
            "srcs": Attribute(Kind.SOURCES, doc="files and targets"),
            "resources": Attribute(Kind.SOURCES, doc="more of them"),
            "path": Attribute(Kind.ANY),
        },
        filegroup,
        aliases={"data": "resources"},
        doc="A name for a group of files.",
    ),
    Rule(
        "genrule",
        {
            "srcs": Attribute(Kind.SOURCES, doc="files the command reads"),
            "tools": Attribute(Kind.SOURCES, doc="programs and scripts the command runs"),
            "outs": Attribute(Kind.STRING_LIST, doc="files the command makes"),
            "out": Attribute(Kind.STRING, doc="the one file or folder the command makes"),
            "cmd": Attribute(Kind.STRING, doc="the command, for bash"),
            "cmd_bash": Attribute(Kind.STRING, doc="the command, in preference to `cmd`"),
            "executable": Attribute(Kind.BOOLEAN, doc="make the outputs executable"),
            "env": Attribute(Kind.STRING_DICT, doc="environment of the command"),
            "message": Attribute(Kind.ANY),
            "local": Attribute(Kind.ANY),
            "output_to_bindir": Attribute(Kind.ANY),
        },
        genrule,
        aliases={"exec_tools": "tools", "bash": "cmd_bash"},
        doc="A command that makes files.",
    ),
)
