"""Where headers lie in an action, and by which folders they are found.

A header always has its path from the workspace root. Where the target gives it another name
(`strip_include_prefix`, `include_prefix`, `header_namespace`), it lies in a folder of the target's
own as well, which is searched.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from lamina.build.analysis import Context, RuleFault, SourceFile
from lamina.build.disk import join
from lamina.build.providers import CxxInfo
from lamina.core.action import Artifact

_PUBLIC = "_virtual_includes"
_PRIVATE = "_virtual_headers"

Headers = list[tuple[str, Artifact]]
Switch = tuple[str, ...]


def exported(ctx: Context) -> tuple[Headers, list[Switch]]:
    """The headers that dependents see, and the switches by which they find them."""
    sources = ctx.sources("exported_headers", "textual_hdrs", "raw_headers")
    headers = [(source.full, source.artifact) for source in sources]
    searched: list[Switch] = []
    virtual = _virtual(ctx, ctx.sources("exported_headers", "textual_hdrs"))
    if virtual:
        folder = ctx.in_package(f"{_PUBLIC}/{ctx.label.name}")
        headers += [(f"{folder}/{name}", artifact) for name, artifact in virtual]
        style = "-isystem" if ctx.text("exported_header_style") == "system" else "-I"
        searched.append(_search(style, folder))
    searched += _folders(ctx, "-isystem", "includes", "public_system_include_directories")
    searched += _folders(ctx, "-I", "public_include_directories")
    return headers, searched


def private(ctx: Context) -> tuple[Headers, list[Switch]]:
    """The same of those for the target itself."""
    sources = ctx.sources("headers")
    headers = [(source.full, source.artifact) for source in sources]
    searched = _folders(ctx, "-I", "include_directories")
    if ctx.given("header_namespace") and sources:
        folder = ctx.in_package(f"{_PRIVATE}/{ctx.label.name}")
        headers += [(f"{folder}/{_namespaced(ctx, each)}", each.artifact) for each in sources]
        searched.append(_search("-I", folder))
    return headers, searched


def roots(own: str, infos: Iterable[CxxInfo]) -> list[str]:
    """The switches for the roots that headers are named from, `own` and those of libraries.

    `-iquote` finds `"pkg/x.h"` first; `-idirafter` lets `<pkg/x.h>` find a header of the workspace,
    but never in place of the system's. Paths are relative: no output knows where it was made.
    """
    folders = dict.fromkeys([own, *(info.root for info in infos), ""])
    words = [word for folder in folders for word in ("-iquote", folder or ".")]
    return words + [word for folder in folders for word in ("-idirafter", folder or ".")]


def _virtual(ctx: Context, sources: list[SourceFile]) -> Headers:
    """Headers by the name they are included by, where that is not their path."""
    if ctx.given("header_namespace"):
        return [(_namespaced(ctx, source), source.artifact) for source in sources]
    stripped = ctx.given("strip_include_prefix")
    if not stripped and not ctx.given("include_prefix"):
        return []
    prefix = ctx.text("strip_include_prefix")
    start = join(ctx.root, prefix[1:]) if prefix.startswith("/") else join(ctx.folder, prefix)
    start = posixpath.normpath(start) if start else ""
    return [
        (join(ctx.text("include_prefix").strip("/"), _within(source, start)), source.artifact)
        for source in sources
    ]


def _within(source: SourceFile, folder: str) -> str:
    if folder in ("", "."):
        return source.full
    if not source.full.startswith(f"{folder}/"):
        raise RuleFault(
            f"the header `{source.path}` is not below `{folder}`, which `strip_include_prefix` "
            "takes away",
            hint="move it there, or into a library of its own",
            mention=source.label,
        )
    return source.full[len(folder) + 1 :]


def _namespaced(ctx: Context, source: SourceFile) -> str:
    return join(ctx.text("header_namespace").strip("/"), source.path)


def _folders(ctx: Context, style: str, *names: str) -> list[Switch]:
    """Include folders, which are relative to the build package."""
    return [
        _search(style, posixpath.normpath(join(ctx.folder, folder) or "."))
        for name in names
        for folder in ctx.texts(name)
    ]


def _search(style: str, folder: str) -> Switch:
    return (style, folder) if style == "-isystem" else (f"{style}{folder}",)
