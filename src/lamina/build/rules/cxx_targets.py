"""`cxx_library`, `cxx_binary` and `cxx_python_extension`."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence

from lamina.build.analysis import Context, RuleFault
from lamina.build.disk import join
from lamina.build.providers import Analysed, CxxInfo, Runnable, linked_closure
from lamina.build.rules import cxx_link
from lamina.build.rules.cxx_flags import Flags
from lamina.build.rules.cxx_parts import (
    Compiled,
    Files,
    Linkage,
    choice,
    compiled,
    exported_linker_flags,
    layers,
    linkage,
    linker_inputs,
)
from lamina.build.rules.running import arguments, environment
from lamina.core.action import Artifact, Literal
from lamina.core.label import Label
from lamina.formats.launcher import LIBRARIES, ROOT, native_launcher

_PROGRAMS = "bin"  # where native programs lie in a package root
_STYLES = ("static", "static_pic", "shared")


def library(ctx: Context) -> Analysed:
    """`cxx_library`: an archive and a shared library, each made where it is wanted."""
    parts = compiled(ctx, ("deps", "exported_deps"), ("implementation_deps",))
    form = linkage(ctx)
    flags = Flags(ctx)
    exported = exported_linker_flags(flags)
    own = flags.words("linker_flags", "post_linker_flags")
    inputs = {**parts.below.inputs, **linker_inputs(ctx, flags)}
    archive: tuple[str, Artifact] | None = None
    shared: tuple[str, Artifact] | None = None
    if parts.objects and form is not Linkage.SHARED:
        path = ctx.in_package(_file_name("lib{}.a", ctx.label.name))
        archive = (path, cxx_link.archive(ctx, parts.objects, path))
    if parts.objects and form is not Linkage.STATIC:
        every = (*flags.words("local_linker_flags"), *own, *exported)
        shared = (cxx_link.soname(ctx), _shared(ctx, parts, every, inputs))
    info = CxxInfo(
        label=ctx.label,
        root=ctx.root,
        headers=parts.exported.headers,
        switches=parts.exported.switches,
        linker_flags=exported,
        archive_flags=tuple(own),
        linker_inputs=tuple(inputs.items()),
        archive=archive,
        whole=ctx.flag("link_whole"),
        library=shared,
        data=tuple(parts.data.items()),
        carried=parts.carried_labels,
        deps=parts.below.shown,
        hidden=(*parts.below.linked, *parts.below.hidden),
        notes=parts.notes,
    )
    made = archive or (shared and (ctx.in_package(shared[0]), shared[1]))
    return Analysed(
        ctx.label,
        files=(made,) if made else (),
        own=({f"{LIBRARIES}/{shared[0]}": shared[1]} if shared else {}) | parts.data,
        runtime=layers((*parts.below.targets, *parts.carried)),
        cxx=info,
    )


def _shared(
    ctx: Context, parts: Compiled, flags: Sequence[str], inputs: Mapping[str, Artifact]
) -> Artifact:
    """A shared library says what it needs: a symbol that no declared dependency has is an error
    here, not on a node."""
    name = cxx_link.soname(ctx)
    step = cxx_link.Link(
        parts.objects,
        name,
        cxx_link.runpath(LIBRARIES),
        ("-shared", f"-Wl,-soname,{name}", "-Wl,-z,defs"),
        flags,
        inputs,
    )
    infos = parts.below.all
    return cxx_link.link(ctx, step, cxx_link.choose(infos, shared=True), infos)


def extension(ctx: Context) -> Analysed:
    """`cxx_python_extension`: a module that Python imports, named `<base module>.<name>`."""
    headers = ("-isystem", ctx.toolchains.python_headers)
    parts = compiled(ctx, more=headers)
    if not parts.objects:
        raise RuleFault("no C or C++ file in `srcs` to make an extension module of")
    folder = ctx.module_folder("base_module")
    name = ctx.text("module_name") or ctx.label.name
    path = join(folder, f"{name}.so")
    file = _linked(ctx, parts, path, posixpath.dirname(path), ("-shared",), shared=True)[0]
    own: Files = {path: file} | parts.data
    if stub := ctx.source("type_stub"):
        own[join(folder, f"{name}.pyi")] = stub.artifact
    return Analysed(
        ctx.label,
        files=((path, file),),
        own=own,
        runtime=layers((*parts.below.targets, *parts.carried)),
    )


def binary(ctx: Context) -> Analysed:
    """`cxx_binary`: a program and its launcher; with `linkshared` a library of the given name."""
    parts = compiled(ctx, ("deps", "malloc", "dynamic_deps"), ("implementation_deps",))
    if not parts.objects and not parts.below.all:
        raise RuleFault(
            "no C or C++ file in `srcs` to make a program of",
            hint="list them in `srcs`, or the library that has `main` in `deps`",
        )
    shared = _is_shared(ctx)
    if ctx.flag("linkshared"):
        return _shared_object(ctx, parts, shared=shared)
    program = f"{_PROGRAMS}/{ctx.program_name}"
    file, libraries = _linked(ctx, parts, program, _PROGRAMS, (), shared=shared)
    data, runtime = _at_run_time(parts, libraries, shared=shared)
    name = ctx.launcher_name(data, runtime)
    variables, words = environment(ctx), arguments(ctx)
    launcher = native_launcher(program, variables, words)
    alone = not variables and not any(ROOT in word for word in words)
    own: Files = {name: Literal(launcher, executable=True), program: file}
    return Analysed(
        ctx.label,
        files=((ctx.in_package(ctx.label.name), file),),
        own=own | data,
        runtime=runtime,
        notes=(*parts.notes, *(n for each in linked_closure(parts.below.all) for n in each.notes)),
        runnable=Runnable(name, program=(program, *words) if alone else ()),
    )


def _shared_object(ctx: Context, parts: Compiled, *, shared: bool) -> Analysed:
    """Bazel's `cc_binary(name = "libx.so", linkshared = True)`: a file, loaded by its path."""
    path = ctx.in_package(ctx.label.name)
    first = ("-shared", f"-Wl,-soname,{posixpath.basename(path)}")
    file, libraries = _linked(ctx, parts, path, posixpath.dirname(path), first, shared=shared)
    data, runtime = _at_run_time(parts, libraries, shared=shared)
    return Analysed(ctx.label, files=((path, file),), own={path: file} | data, runtime=runtime)


def _linked(
    ctx: Context, parts: Compiled, path: str, folder: str, first: Sequence[str], *, shared: bool
) -> tuple[Artifact, cxx_link.Libraries]:
    """The program or shared object, and the form in which it has its libraries."""
    flags = Flags(ctx)
    own = (
        *flags.linkopts("linkopts"),
        *flags.words("local_linker_flags", "linker_flags", "exported_linker_flags"),
        *flags.words("post_linker_flags", "exported_post_linker_flags"),
        *(("-static",) if "fully_static_link" in ctx.texts("features") else ()),
    )
    inputs = {**parts.below.inputs, **linker_inputs(ctx, flags)}
    infos = parts.below.all
    libraries = cxx_link.choose(infos, shared=shared)
    cxx_link.check_names(libraries)
    step = cxx_link.Link(parts.objects, path, cxx_link.runpath(folder), first, own, inputs)
    return cxx_link.link(ctx, step, libraries, infos), libraries


def _at_run_time(
    parts: Compiled, libraries: cxx_link.Libraries, *, shared: bool
) -> tuple[Files, tuple[Label, ...]]:
    """The files a program has at run time beside itself, and the targets whose layers it needs.

    What is linked in has no layer: its data come with the program.
    """
    if shared:
        return parts.data, layers((*parts.below.targets, *parts.carried))
    loaded = set(libraries.shared)
    data: Files = dict(parts.data)
    needed: dict[Label, None] = dict.fromkeys(parts.carried_labels)
    for info in linked_closure(parts.below.all):
        if info in loaded and info.label is not None:
            needed[info.label] = None
        else:
            data.update(info.data)
            needed.update(dict.fromkeys(info.carried))
    return data, tuple(needed)


def _is_shared(ctx: Context) -> bool:
    """Whether a program loads its libraries."""
    style = choice(ctx, "link_style", _STYLES)
    if style:
        return style == "shared"
    return ctx.given("linkstatic") and not ctx.flag("linkstatic")


def _file_name(form: str, name: str) -> str:
    """`a/b` -> `a/libb.a`."""
    folder, _, last = name.rpartition("/")
    return join(folder, form.format(last))
