"""What programs are started with: `args` and `env`, in which labels stand for files.

`$(location x)` becomes the path of the file in the package root, wherever that is mounted; for a
test, which starts there, it is relative.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from lamina.build.analysis import Context, RuleFault
from lamina.build.attributes import Attribute, Kind
from lamina.build.cellmap import Cells
from lamina.build.conditions import host_cpu
from lamina.build.disk import join
from lamina.build.expansion import Scope, expand
from lamina.build.providers import Analysed
from lamina.core.action import Artifact, Stored
from lamina.core.errors import UserError
from lamina.core.tree import Symlink
from lamina.formats.launcher import ROOT

WORKSPACE = "_main"  # what Bazel calls the workspace's own folder among the runfiles
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
        return (_place(target.runnable.entry_point),)
    files = target.own if target is not None and target.own else None
    paths = list(files) if files else [file.full for file in ctx.files(label)]
    return tuple(map(_place, paths))


def _place(path: str) -> str:
    """A path that a shell takes for one, and does not look for on PATH."""
    return f"{ROOT}{path}" if "/" in path else f"{ROOT}./{path}"


def tool_files(ctx: Context, tool: Analysed, root: str) -> list[tuple[str, Artifact]]:
    """The package root of a program, in a folder of an action that starts it.

    As Bazel has it, its files are found below `<program>.runfiles/<workspace or cell>` as well.
    """
    assert tool.runnable is not None
    parts = ctx.runtime_closure(tool)
    files = ctx.root_of(tool, root)
    entry_point = tool.runnable.entry_point
    above = "/".join([".."] * (entry_point.count("/") + 1))
    for name, folder in roots(ctx.cells, parts).items():
        link = Stored(Symlink(join(above, folder)))
        files.append((f"{root}/{entry_point}.runfiles/{name}", link))
    return files


def roots(cells: Cells, parts: Sequence[Analysed]) -> dict[str, str]:
    """Names of the workspace and of the cells with files in a package root -> their folders in it.

    By these names Bazel has them in its runfiles.
    """
    paths = {path for part in parts for path in part.own} if cells.folders else set()
    tops = {path.partition("/")[0] for path in paths}
    used = {"", *(part.label.cell for part in parts)}
    for cell, folder in cells.folders.items():
        inside = f"{folder}/"
        if folder.partition("/")[0] in tops and any(path.startswith(inside) for path in paths):
            used.add(cell)
    names = {WORKSPACE: "", **cells.names, **{cell: cell for cell in used}}
    return {name: cells.folder(cell) for name, cell in names.items() if name and cell in used}
