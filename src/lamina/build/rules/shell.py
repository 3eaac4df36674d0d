"""Shell scripts: programs and libraries."""

from __future__ import annotations

from lamina.build.analysis import Context, RuleFault, SourceFile
from lamina.build.attributes import Attribute, Kind
from lamina.build.providers import Analysed, Runnable
from lamina.build.rule import Rule
from lamina.build.rules.running import RUNNING, arguments, environment
from lamina.core.action import Artifact, Literal
from lamina.core.label import Label
from lamina.formats.launcher import script_launcher


def library(ctx: Context) -> Analysed:
    """`sh_library`: scripts and files for other scripts, at their path from the root."""
    own, runtime = carried_files(ctx, "srcs", "resources")
    deps = tuple(dep.label for dep in ctx.deps("deps"))
    return Analysed(
        ctx.label,
        files=tuple((source.full, source.artifact) for source in ctx.sources("srcs")),
        own=own,
        runtime=tuple(dict.fromkeys((*deps, *runtime))),
    )


def binary(ctx: Context) -> Analysed:
    """`sh_binary`: a script and its launcher."""
    script = main(ctx)
    own, runtime = carried_files(ctx, "srcs", "resources")
    deps = tuple(dep.label for dep in ctx.deps("deps"))
    name = ctx.program_name
    # A script at the root that is called like the target makes way for the launcher.
    path = script.full if script.full != name else f"bin/{name}"
    own.pop(name, None)
    runtime = tuple(dict.fromkeys((*deps, *runtime)))
    name = ctx.launcher_name((path, *own), runtime)
    launcher = script_launcher(path, environment(ctx), arguments(ctx))
    own |= {path: script.artifact, name: Literal(launcher, executable=True)}
    return Analysed(
        ctx.label,
        files=((script.full, script.artifact),),
        own=own,
        runtime=runtime,
        runnable=Runnable(name),
    )


def main(ctx: Context) -> SourceFile:
    """The one script of a target: Buck's `main`, or what `srcs` has."""
    given = ctx.source("main")
    if given is not None:
        return given
    scripts = ctx.sources("srcs")
    if len(scripts) != 1:
        raise RuleFault(
            f"it needs one script in `srcs`, there are {len(scripts)}",
            hint="put what it reads into `data`",
            attribute="srcs",
        )
    return scripts[0]


def carried_files(ctx: Context, *names: str) -> tuple[dict[str, Artifact], tuple[Label, ...]]:
    """The files of some attributes by path in the package root, and the targets with more."""
    plain, carried = ctx.data(*names)
    own = {source.full: source.artifact for source in plain}
    return own, tuple(target.label for target in carried)


SCRIPTS = {
    "srcs": Attribute(Kind.SOURCES, doc="the script"),
    "main": Attribute(Kind.SOURCE, doc="the script, in place of `srcs`"),
    "deps": Attribute(Kind.LABEL_LIST, doc="`sh_library` and other targets it needs"),
    "resources": Attribute(Kind.SOURCES, doc="files and programs it uses"),
    "append_script_extension": Attribute(Kind.ANY),
    "use_bash_launcher": Attribute(Kind.ANY),
}

RULES = (
    Rule(
        "sh_binary",
        {**SCRIPTS, **RUNNING},
        binary,
        aliases={"data": "resources"},
        doc="A program that is a script.",
    ),
    Rule(
        "sh_library",
        {
            "srcs": Attribute(Kind.SOURCES, doc="scripts"),
            "deps": Attribute(Kind.LABEL_LIST, doc="other libraries"),
            "resources": Attribute(Kind.SOURCES, doc="files they read"),
        },
        library,
        aliases={"data": "resources"},
        doc="Scripts that others read.",
    ),
)
