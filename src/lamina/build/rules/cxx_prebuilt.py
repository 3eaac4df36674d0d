"""Libraries that come as they are, and those made of several others."""

from __future__ import annotations

import posixpath

from lamina.build.analysis import Context, RuleFault, SourceFile
from lamina.build.providers import Analysed, CxxInfo, linked_closure
from lamina.build.rules import cxx_compile, cxx_link
from lamina.build.rules.cxx_flags import Flags
from lamina.build.rules.cxx_parts import (
    Files,
    Linkage,
    exported_linker_flags,
    layers,
    libraries_of,
    linkage,
    linker_inputs,
)
from lamina.core.action import Artifact
from lamina.formats.launcher import LIBRARIES


def prebuilt(ctx: Context) -> Analysed:
    """`prebuilt_cxx_library` and `cc_import`: an archive, a shared library, or headers alone."""
    inputs: Files = {}
    infos, targets = libraries_of(ctx, ("deps", "exported_deps"), inputs)
    plain, carried = ctx.data("resources")
    archive, name, loaded, linked = _forms(ctx)
    flags = Flags(ctx)
    exported = cxx_compile.exported(ctx)
    folders = ctx.sources("header_dirs")
    data: Files = {source.full: source.artifact for source in plain}
    linker_flags = exported_linker_flags(flags)
    inputs |= linker_inputs(ctx, flags)
    info = CxxInfo(
        label=ctx.label,
        root=ctx.root,
        headers=(*exported.headers, *((each.full, each.artifact) for each in folders)),
        switches=(*exported.switches, *(("-isystem", each.full) for each in folders)),
        linker_flags=linker_flags,
        linker_inputs=tuple(inputs.items()),
        archive=(archive.full, archive.artifact) if archive else None,
        whole=ctx.flag("link_whole"),
        library=(name, linked) if linked else None,
        data=tuple(data.items()),
        carried=tuple(target.label for target in carried),
        deps=infos,
    )
    files = {file.full: file.artifact for file in (archive, loaded) if file}
    return Analysed(
        ctx.label,
        files=tuple(files.items()),
        own=({f"{LIBRARIES}/{name}": loaded.artifact} if loaded else {}) | data,
        runtime=layers((*targets, *carried)),
        cxx=info,
    )


def _forms(
    ctx: Context,
) -> tuple[SourceFile | None, str, SourceFile | None, Artifact | None]:
    """The archive; the name of the shared library, itself, and what a link reads in its place."""
    archive = ctx.source("static_pic_lib") or ctx.source("static_lib")
    shared, interface = ctx.source("shared_lib"), ctx.source("interface_library")
    if ctx.flag("header_only"):
        return None, "", None, None
    provided = ctx.flag("provided")
    if interface and not shared and not provided:
        raise RuleFault(
            "it has an `interface_library` and no library",
            hint="give it `shared_library`, or `system_provided = True` where the machine has it",
        )
    form = linkage(ctx)
    if form is Linkage.STATIC and archive:
        shared = interface = None
    if form is Linkage.SHARED and (shared or interface):
        archive = None
    read = interface or shared
    file = shared or interface
    name = ctx.text("soname") or (posixpath.basename(file.full) if file else "")
    return archive, name, None if provided else shared, read.artifact if read else None


def shared_library(ctx: Context) -> Analysed:
    """`cc_shared_library`: the code of its `deps`, and of what these need, in one shared library.

    What a library in `dynamic_deps` has is not taken in again.
    """
    inputs: Files = {}
    infos, _ = libraries_of(ctx, ("deps", "roots"), inputs)  # taken in: none has a layer
    loaded, others = libraries_of(ctx, ("dynamic_deps",), inputs)
    if not infos:
        raise RuleFault("it has no `deps` to make a library of")
    # Named last, a library of `dynamic_deps` is still seen by all: it is loaded by its name.
    libraries = cxx_link.choose((*infos, *loaded), shared=False, whole=infos)
    flags = Flags(ctx)
    own = flags.linkopts("user_link_flags", "linkopts")
    inputs |= linker_inputs(ctx, flags)
    name = posixpath.basename(ctx.text("shared_lib_name")) or f"lib{ctx.program_name}.so"
    cxx_link.check_names(libraries)
    step = cxx_link.Link(
        {}, name, cxx_link.runpath(LIBRARIES), ("-shared", f"-Wl,-soname,{name}"), own, inputs
    )
    file = cxx_link.link(ctx, step, libraries, (*infos, *loaded))
    plain, carried = ctx.data("resources")
    data: Files = {source.full: source.artifact for source in plain}
    taken = frozenset((*libraries.archives, *libraries.late))
    for each in taken:
        data.update(each.data)
    below = [each.label for each in libraries.shared if each.label is not None]
    labels = [label for each in linked_closure(infos) if each in taken for label in each.carried]
    info = CxxInfo(
        label=ctx.label,
        root=ctx.root,
        library=(name, file),
        hidden=loaded,
        contents=taken,
    )
    runtime = dict.fromkeys((*below, *labels, *(target.label for target in (*others, *carried))))
    return Analysed(
        ctx.label,
        files=((ctx.in_package(name), file),),
        own={f"{LIBRARIES}/{name}": file} | data,
        runtime=tuple(runtime),
        cxx=info,
    )
