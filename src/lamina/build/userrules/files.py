"""The files that rules in .bzl files speak of: what `File.path` is, and which artifact it means.

| file | `path` | `short_path` |
| --- | --- | --- |
| source | its path from the root of the workspace | the same |
| generated | the same below `out/` | without it |
| launcher of a program | where its package root lies in an action | its path in there |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina.build.disk import join
from lamina.build.markers import LABEL
from lamina.build.userrules.flags import compilation
from lamina.core.action import OUTPUT_FOLDER, Artifact, Literal, Output, Source
from lamina.core.classes import dataclass, field
from lamina.core.label import Label

if TYPE_CHECKING:
    from lamina.build.analysis import Context
    from lamina.build.providers import Analysed

TOOLS = "tools"  # where, in an action's folder, the package roots of its tools lie
Parts = list[object]  # path, short path, whether a source, whether a folder: see `_file` in prelude


@dataclass(slots=True)
class Files:
    """What the paths mean during one analysis."""

    artifacts: dict[str, Artifact] = field(default_factory=dict)
    tools: dict[str, Label] = field(default_factory=dict)

    def add(self, full: str, artifact: Artifact) -> Parts:
        """A file at its path from the root of the workspace."""
        if isinstance(artifact, Source):
            self.artifacts[artifact.path] = artifact
            return [artifact.path, full, True, False]
        path = generated(full)
        self.artifacts[path] = artifact
        return [path, full, False, False]

    def add_tool(self, ctx: Context, label: Label, entry_point: str) -> Parts:
        """The launcher of a program."""
        path = f"{tool_root(ctx, label)}/{entry_point}"
        self.tools[path] = label
        return [path, entry_point, False, False]

    def foreign(self, ctx: Context, label: Label) -> dict[str, Any]:
        """A target of a built-in rule or a source file, as the prelude makes a target of it."""
        target = ctx.dep(label)
        data: dict[str, Any] = {
            "label": parts_of(ctx, target.label if target else label),
            "text": str(target.label if target else label),
            "files": [self.add(file.full, file.artifact) for file in ctx.files(label)],
            "executable": None,
            "runfiles": [],
            "carries": False,
            "python": None,
            "cxx": None,
            "setting": _listed(target.setting) if target else None,
        }
        if target is None:
            return data
        if target.runnable is not None:
            data["executable"] = self.add_tool(ctx, target.label, target.runnable.entry_point)
        if target.own or target.runtime:
            data["carries"] = True
            self._add_runtime(ctx, target, data)
        if target.cxx is not None:
            data["cxx"] = compilation(self, target.cxx) | {"text": str(target.label)}
        return data

    def _add_runtime(self, ctx: Context, target: Analysed, data: dict[str, Any]) -> None:
        """Files needed at run time, those of Python among them; launchers are none of them."""
        modules: list[Parts] = []
        for part in ctx.runtime_closure(target):
            for path, artifact in part.own.items():
                if isinstance(artifact, Literal):
                    continue
                place = artifact.path if isinstance(artifact, Output) else path
                parts = self.add(place, artifact)
                data["runfiles"].append([parts[0], path, *parts[2:]])
                if path.endswith(".py"):
                    modules.append(data["runfiles"][-1])
        if modules or target.imports:
            data["python"] = {"sources": modules, "imports": list(target.imports)}


def _listed(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def generated(full: str) -> str:
    """The path of a generated file in actions."""
    return f"{OUTPUT_FOLDER}/{full}"


def tool_root(ctx: Context, label: Label) -> str:
    """Where the package root of a program lies in an action that starts it."""
    return f"{TOOLS}/{join(ctx.cells.folder(label.cell, label.package), label.name)}"


def parts_of(ctx: Context, label: Label) -> dict[str, str]:
    """What a label holds in Starlark."""
    return {
        LABEL: f"@@{label}".replace("@@@", "@@"),
        "name": label.name,
        "package": label.package,
        "workspace_name": label.cell,
        "repo_name": label.cell,
        "workspace_root": ctx.cells.folder(label.cell),
    }
