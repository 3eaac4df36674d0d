"""Rules of no language: commands that make files, and names for files and other targets."""

from __future__ import annotations

import shlex

from lamina.build.analysis import Context, RuleFault
from lamina.build.attributes import Attribute, Kind
from lamina.build.conditions import host_cpu
from lamina.build.disk import join
from lamina.build.expansion import Scope, expand
from lamina.build.providers import Analysed
from lamina.build.rule import Rule
from lamina.build.rules import running
from lamina.core.action import OUTPUT_FOLDER, Action, Artifact, Source
from lamina.core.classes import replace
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


def alias(ctx: Context) -> Analysed:
    """`alias`: another name for a target or file; the target itself is what dependents get."""
    actual = ctx.label_of("actual" if ctx.target.rule.name == "alias" else "build_setting_default")
    if actual is None:
        return Analysed(ctx.label)
    files = tuple((source.full, source.artifact) for source in ctx.files(actual))
    return ctx.dep(actual) or Analysed(ctx.label, files=files)


def export_file(ctx: Context) -> Analysed:
    """`export_file`: a file under a label, perhaps at another path."""
    source = ctx.source("src")
    path = ctx.in_package(ctx.text("out") or (source.path if source else ctx.label.name))
    artifact = source.artifact if source else Source(ctx.in_package(ctx.label.name))
    return Analysed(ctx.label, files=((path, artifact),))


def test_suite(ctx: Context) -> Analysed:
    """`test_suite`: a name for tests; building it builds them."""
    files = dict(file for test in ctx.deps("tests") for file in test.files)
    return Analysed(ctx.label, files=tuple(files.items()))


def genrule(ctx: Context) -> Analysed:
    """`genrule`: a shell command that makes files from files."""
    return _Genrule(ctx).analysed()


class _Genrule:
    """One genrule: where its files lie, and what its command becomes."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._bazel = not ctx.given("out") and not any(name for name, _ in ctx.pairs("outs"))
        self._outputs = _outputs(ctx)
        self._inputs: dict[str, Artifact] = {}
        self._roots: list[tuple[str, Artifact]] = []  # package roots; several may have one folder
        self._places: dict[Label, tuple[str, ...]] = {}  # where the files of a label lie
        self._tools: set[str] = set()  # toolchains that the command names
        self._collect()

    def analysed(self) -> Analysed:
        """Its action, and the files that this makes."""
        ctx = self._ctx
        sources = (path for source in ctx.sources("srcs") for path in self._places[source.label])
        scope = Scope(
            sources=tuple(dict.fromkeys(sources)),
            outputs=tuple(f"{OUTPUT_FOLDER}/{ctx.in_package(path)}" for path in self._outputs),
            locations=self._locations,
            output_folder=join(OUTPUT_FOLDER, ctx.folder),
            variable=self._variable,
        )
        action = self._action(scope)
        full = [ctx.in_package(path) for path in self._outputs]
        return Analysed(ctx.label, files=tuple((path, action.output(path)) for path in full))

    def _action(self, scope: Scope) -> Action:
        ctx = self._ctx
        full = [ctx.in_package(path) for path in self._outputs]
        attribute = "cmd_bash" if ctx.text("cmd_bash") else "cmd"
        command = self._expanded(ctx.text(attribute), scope, attribute)
        if not command:
            hint = 'say how its files are made: `cmd = "… > $@"`'
            raise RuleFault("it has no `cmd`", hint=hint)
        if ctx.flag("executable"):
            command += f"\nchmod +x {shlex.join(scope.outputs)}"
        environment = {name: self._expanded(v, scope, "env") for name, v in ctx.pairs("env")}
        made = ctx.action(
            "Genrule",
            ["/bin/bash", "-c", f"set -euo pipefail\n{command}"],
            self._inputs,
            full,
            subject=" ".join(full),
            environment={
                "SRCS": " ".join(scope.sources),
                "OUT": scope.outputs[0] if len(scope.outputs) == 1 else scope.output_folder,
                "OUTS": " ".join(scope.outputs),
                "SRCDIR": ctx.folder or ".",
                "TMP": "/tmp",
                **environment,
            },
            toolchain="; ".join(sorted(self._identities())),
            mounts=[mount for tool in sorted(self._tools) for mount in self._mounts(tool)],
            roots=self._roots,
        )
        return replace(made, network=True) if "requires-network" in ctx.texts("tags") else made

    def _expanded(self, command: str, scope: Scope, attribute: str) -> str:
        """A text with its macros replaced; only Bazel has macros for all that looks like one."""
        strict = self._bazel and attribute != "env"
        try:
            return expand(command, replace(scope, attribute=attribute), strict=strict)
        except UserError as error:
            raise RuleFault(error.message, hint=error.hint, attribute=attribute) from error

    def _collect(self) -> None:
        for source in self._ctx.sources("srcs"):
            self._inputs[source.full] = source.artifact
            known = self._places.get(source.label, ())
            self._places[source.label] = (*known, source.full)
        for label in (
            *self._ctx.labels("tools"),
            *self._ctx.labels("exec_tools"),
            *self._ctx.labels("mentioned"),
        ):
            if label not in self._places:
                self._add_tool(label)

    def _add_tool(self, label: Label) -> None:
        """A program comes with its whole package root, of anything else the files."""
        ctx, tool = self._ctx, self._ctx.dep(label)
        if tool is not None and tool.runnable is not None:
            root = f"{_TOOLS}/{join(ctx.cells.folder(label.cell, label.package), label.name)}"
            self._roots += running.tool_files(ctx, tool, root)
            self._places[label] = (f"{root}/{tool.runnable.entry_point}",)
            return
        files = ctx.files(label)
        self._inputs.update({file.full: file.artifact for file in files})
        self._places[label] = tuple(file.full for file in files)

    def _locations(self, text: str) -> tuple[str, ...]:
        ctx = self._ctx
        label = ctx.cells.home(ctx.label.cell, ctx.label.package).label(text)
        here = (label.cell, label.package) == (ctx.label.cell, ctx.label.package)
        if here and label.name in self._outputs:
            return (f"{OUTPUT_FOLDER}/{ctx.in_package(label.name)}",)
        if label not in self._places:
            raise UserError(
                f"`$(location {text})` in `cmd` names none of its inputs",
                hint=f"add `{text}` to its `srcs` or `tools`",
            )
        return self._places[label]

    def _variable(self, name: str) -> str | None:
        """A make variable: of the configuration, `--define`, or a toolchain."""
        configuration, toolchains = self._ctx.configuration, self._ctx.toolchains
        known = {
            "COMPILATION_MODE": configuration.compilation_mode,
            "TARGET_CPU": configuration.cpu or host_cpu(),
            **dict(configuration.defines),
        }
        if name in known:
            return known[name]
        if name == "PYTHON3":
            self._tools.add("python")
            return toolchains.python.command
        if name not in _CXX_VARIABLES:
            return None
        self._tools.add("cxx")
        cxx = toolchains.cxx
        return {"CC": cxx.c, "CXX": cxx.cxx, "AR": cxx.archiver}.get(name, _CXX_VARIABLES[name])

    def _identities(self) -> set[str]:
        toolchains = self._ctx.toolchains
        return {getattr(toolchains, tool).identity for tool in self._tools}

    def _mounts(self, tool: str) -> tuple[str, ...]:
        mounts: tuple[str, ...] = getattr(self._ctx.toolchains, tool).mounts
        return mounts


# Variables of Bazel's C++ toolchain; the tools besides the compilers are binutils.
_CXX_VARIABLES = {
    "CC": "", "CXX": "", "AR": "", "CC_FLAGS": "", "LD": "ld", "NM": "nm", "OBJCOPY": "objcopy",
    "STRIP": "strip", "GCOV": "gcov",
}  # fmt: skip


def _outputs(ctx: Context) -> tuple[str, ...]:
    named = (path for _, path in ctx.pairs("outs"))
    outputs = tuple(dict.fromkeys((*named, *((ctx.text("out"),) if ctx.text("out") else ()))))
    if not outputs:
        raise RuleFault("it has no `outs`", hint='list what it makes: `outs = ["x.h"]`')
    return outputs


_IGNORED = (
    "cacheable", "cmd_bat", "cmd_exe", "cmd_ps", "default_outs", "enable_sandbox",
    "environment_expansion_separator", "error_handler", "heuristic_label_expansion", "local",
    "message", "metadata_env_var", "metadata_path", "need_android_tools",
    "no_outputs_cleanup", "output_licenses", "output_to_bindir", "remote",
    "remote_execution_dependencies", "stamp", "type", "weight",
)  # fmt: skip

RULES = (
    Rule(
        "filegroup",
        {
            "srcs": Attribute(Kind.SOURCES, doc="files and targets"),
            "resources": Attribute(Kind.SOURCES, doc="more of them"),
            "path": Attribute(Kind.ANY),
            "output_group": Attribute(Kind.ANY),
            "copy": Attribute(Kind.ANY),
        },
        filegroup,
        aliases={"data": "resources"},
        doc="A name for a group of files.",
    ),
    Rule(
        "alias",
        {"actual": Attribute(Kind.LABEL, required=True, doc="the target or file it stands for")},
        alias,
        doc="Another name for a target, wherever that may stand.",
    ),
    Rule(
        "label_flag",
        {
            "build_setting_default": Attribute(
                Kind.LABEL, required=True, doc="the target it stands for where no flag says more"
            ),
        },
        alias,
        names=("label_setting",),
        doc="A target that a flag chooses: `--//folder:name=//other:target`.",
    ),
    Rule(
        "export_file",
        {
            "src": Attribute(Kind.SOURCE, doc="the file; by default the one of the target's name"),
            "out": Attribute(Kind.STRING, doc="what it is called where it is used"),
            "mode": Attribute(Kind.ANY),
        },
        export_file,
        doc="A file that other build packages may use.",
    ),
    Rule(
        "test_suite",
        {"tests": Attribute(Kind.LABEL_LIST, doc="tests, and other suites")},
        test_suite,
        aliases={"test_deps": "tests"},
        doc="A name for tests.",
    ),
    Rule(
        "genrule",
        {
            "srcs": Attribute(Kind.SOURCES, doc="files the command reads"),
            "tools": Attribute(Kind.SOURCES, doc="programs and scripts the command runs"),
            "exec_tools": Attribute(Kind.SOURCES, doc="more of them"),
            "outs": Attribute(
                Kind.OUTPUTS, doc="files the command makes; those of a dict are `:target[name]`"
            ),
            "out": Attribute(Kind.STRING, doc="the one file or folder the command makes"),
            "cmd": Attribute(Kind.STRING, doc="the command, for bash"),
            "cmd_bash": Attribute(Kind.STRING, doc="the command, in preference to `cmd`"),
            "executable": Attribute(Kind.BOOLEAN, doc="make the outputs executable"),
            "env": Attribute(Kind.STRING_DICT, doc="environment of the command"),
            "mentioned": Attribute(
                Kind.SOURCES, doc="what else `$(location x)` names; filled in where Buck allows it"
            ),
            **{name: Attribute(Kind.ANY) for name in _IGNORED},
        },
        genrule,
        aliases={"bash": "cmd_bash"},
        doc="A command that makes files.",
    ),
)
