"""C and C++: libraries, extension modules of Python, programs.

One shared library per `cxx_library`: it is a layer of its own, and all who need it share the one
copy of its state. Every shared object finds the others by a RUNPATH relative to itself, so a
package root works wherever it is mounted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from lamina.build.analysis import Context, RuleFault, SourceFile
from lamina.build.attributes import Attribute, Kind
from lamina.build.disk import join
from lamina.build.launchers import native_launcher
from lamina.build.providers import LIBRARIES, Analysed, CxxInfo, Runnable, closure
from lamina.build.rule import Rule
from lamina.core.action import Artifact, Literal
from lamina.core.label import Label

_C = {".c"}
_ASSEMBLER = {".s", ".S"}
_CXX = {".cc", ".cpp", ".cxx", ".c++", ".C"}
_HEADERS = {".h", ".hh", ".hpp", ".hxx", ".h++", ".inc", ".inl", ".ipp", ".tcc"}
_PROGRAMS = "bin"  # where native programs lie in a package root

# `-idirafter .` lets `<pkg/x.h>` find headers of the workspace, but never in place of the
# system's; `-iquote .` lets `"pkg/x.h"` find them first. Paths are relative, so no output knows
# where it was made.
_COMPILE = (
    "-fPIC",
    "-iquote", ".",
    "-idirafter", ".",
    "-fdiagnostics-color=never",
    "-Wno-builtin-macro-redefined",
    '-D__DATE__="redacted"',
    '-D__TIME__="redacted"',
    '-D__TIMESTAMP__="redacted"',
)  # fmt: skip


def _compile(
    ctx: Context, source: SourceFile, headers: Mapping[str, Artifact], flags: Iterable[str]
) -> Artifact:
    cxx = ctx.toolchains.cxx
    suffix = PurePosixPath(source.full).suffix
    compiler = cxx.cxx if suffix in _CXX else cxx.c
    output = f"{source.full}.o"
    action = ctx.action(
        "CxxCompile",
        [
            compiler, *_COMPILE, *cxx.compiler_flags, *flags,
            "-c", source.full, "-o", f"out/{output}",
        ],
        {**headers, source.full: source.artifact},
        [output],
        toolchain=cxx.identity,
        subject=source.full,
        mounts=cxx.mounts,
    )  # fmt: skip
    return action.output(output)


def _objects(
    ctx: Context, deps: tuple[CxxInfo, ...], more: Iterable[str] = ()
) -> dict[str, Artifact]:
    """Compile each source of the target; objects by their path in a link action."""
    headers = dict(_own_headers(ctx, "headers"))
    headers.update(_own_headers(ctx, "exported_headers"))
    flags = [*more]
    for info in deps:
        headers.update(info.headers)
        flags.extend(info.flags)
    flags.extend(_exported_flags(ctx))
    flags.extend(f"-D{define}" for define in ctx.texts("local_defines"))
    flags.extend((*ctx.texts("preprocessor_flags"), *ctx.texts("compiler_flags")))
    compiled: list[SourceFile] = []
    for source in ctx.sources("srcs"):
        suffix = PurePosixPath(source.full).suffix
        if suffix in _HEADERS:
            headers[source.full] = source.artifact
        elif suffix in _C | _CXX | _ASSEMBLER:
            compiled.append(source)
        else:
            raise RuleFault(
                f"`{source.path}` in `srcs` is not C, C++ or assembler",
                hint="known endings: " + " ".join(sorted(_C | _CXX | _ASSEMBLER | _HEADERS)),
                mention=source.label,
            )
    return {f"obj/{source.full}.o": _compile(ctx, source, headers, flags) for source in compiled}


def _own_headers(ctx: Context, name: str) -> list[tuple[str, Artifact]]:
    return [(source.full, source.artifact) for source in ctx.sources(name)]


def _exported_flags(ctx: Context) -> list[str]:
    folders = (
        join(ctx.label.package, folder).removesuffix("/.") for folder in ctx.texts("includes")
    )
    return [
        *(flag for folder in folders for flag in ("-isystem", folder or ".")),
        *(f"-D{define}" for define in ctx.texts("defines")),
        *ctx.texts("exported_preprocessor_flags"),
    ]


def _link(
    ctx: Context,
    objects: Mapping[str, Artifact],
    output: str,
    deps: tuple[CxxInfo, ...],
    flags: Iterable[str],
    runpath: str,
) -> Artifact:
    cxx = ctx.toolchains.cxx
    libraries = _libraries(deps)
    direct = [f"lib/{info.library[0]}" for info in _first_libraries(deps) if info.library]
    indirect = [path for path in libraries if path not in direct]
    carried = [flag for info in closure(deps) for flag in info.linker_flags]
    action = ctx.action(
        "CxxLink",
        [
            cxx.cxx, "-o", f"out/{output}", *objects,
            # What it names is loaded even if it calls nothing there: some libraries register
            # themselves. What lies below is needed where a header in between calls it.
            "-Wl,--push-state,--no-as-needed", *direct,
            "-Wl,--as-needed", *indirect, "-Wl,--pop-state",
            f"-Wl,-rpath,{runpath}", "-Wl,--enable-new-dtags", "-Wl,-rpath-link,lib",
            *cxx.linker_flags, *flags, *ctx.texts("linker_flags"), *carried,
        ],
        {**objects, **libraries},
        [output],
        toolchain=cxx.identity,
        subject=output,
        mounts=cxx.mounts,
    )  # fmt: skip
    return action.output(output)


def _libraries(deps: tuple[CxxInfo, ...]) -> dict[str, Artifact]:
    """All libraries that some depend on, by path in a link action."""
    found: dict[str, Artifact] = {}
    for library in [info.library for info in closure(deps) if info.library]:
        path = f"lib/{library[0]}"
        if found.setdefault(path, library[1]) != library[1]:
            raise RuleFault(
                f"two of the libraries below it are called `{library[0]}`",
                hint="give one of them another `soname`",
            )
    return found


def _first_libraries(deps: Iterable[CxxInfo]) -> list[CxxInfo]:
    """The nearest libraries with code; one that is headers only stands for what it needs."""
    found: list[CxxInfo] = []
    for info in deps:
        found.extend([info] if info.library else _first_libraries(info.deps))
    return list(dict.fromkeys(found))


def soname(ctx: Context) -> str:
    """`lib<path>_<name>.so`; no link takes two that read alike, as `//a/b:c` and `//a:b_c` do."""
    if given := ctx.text("soname"):
        return given
    path = ctx.label.package.replace("/", "_")
    return f"lib{path}_{ctx.label.name}.so" if path else f"lib{ctx.label.name}.so"


def library(ctx: Context) -> Analysed:
    """`cxx_library`: one shared library, or headers alone."""
    deps, infos = ctx.libraries("deps", "exported_deps")
    objects = _objects(ctx, closure(infos))
    built: tuple[str, Artifact] | None = None
    if objects:
        name = soname(ctx)
        # A library says what it needs: a symbol that no declared dependency has is an error here,
        # not on a node.
        flags = ("-shared", f"-Wl,-soname,{name}", "-Wl,-z,defs")
        built = (name, _link(ctx, objects, name, infos, flags, "$ORIGIN"))
    data, carried = _data(ctx)
    info = CxxInfo(
        headers=tuple(_own_headers(ctx, "exported_headers")),
        flags=tuple(_exported_flags(ctx)),
        linker_flags=ctx.texts("exported_linker_flags"),
        library=built,
        deps=infos,
    )
    return Analysed(
        ctx.label,
        files=((ctx.in_package(built[0]), built[1]),) if built else (),
        own=({f"{LIBRARIES}/{built[0]}": built[1]} if built else {}) | data,
        runtime=_runtime(deps, carried),
        cxx=info,
    )


def extension(ctx: Context) -> Analysed:
    """`cxx_python_extension`: a module that Python imports, named `<base module>.<name>`."""
    deps, infos = ctx.libraries("deps")
    headers = ("-isystem", ctx.toolchains.python_headers)
    objects = _objects(ctx, closure(infos), headers)
    if not objects:
        raise RuleFault("no C or C++ file in `srcs` to make an extension module of")
    folder = ctx.module_folder("base_module")
    path = join(folder, f"{ctx.text('module_name') or ctx.label.name}.so")
    up = "../" * path.count("/")
    file = _link(ctx, objects, path, infos, ("-shared",), f"$ORIGIN/{up}{LIBRARIES}")
    data, carried = _data(ctx)
    return Analysed(
        ctx.label,
        files=((path, file),),
        own={path: file} | data,
        runtime=_runtime(deps, carried),
    )


def binary(ctx: Context) -> Analysed:
    """`cxx_binary`: a program and its launcher."""
    deps, infos = ctx.libraries("deps")
    objects = _objects(ctx, closure(infos))
    if not objects:
        raise RuleFault("no C or C++ file in `srcs` to make a program of")
    name = ctx.program_name
    program = f"{_PROGRAMS}/{name}"
    file = _link(ctx, objects, program, infos, (), f"$ORIGIN/../{LIBRARIES}")
    data, carried = _data(ctx)
    own: dict[str, Artifact] = {
        name: Literal(native_launcher(program, dict(ctx.pairs("env"))), executable=True),
        program: file,
    }
    return Analysed(
        ctx.label,
        files=((ctx.in_package(name), file),),
        own=own | data,
        runtime=_runtime(deps, carried),
        runnable=Runnable(name),
    )


def _data(ctx: Context) -> tuple[dict[str, Artifact], list[Analysed]]:
    """Resources by path in the package root, where they have their path from the workspace."""
    plain, carried = ctx.data("resources")
    return {source.full: source.artifact for source in plain}, carried


def _runtime(deps: Iterable[Analysed], carried: Iterable[Analysed]) -> tuple[Label, ...]:
    return tuple(dict.fromkeys(dep.label for dep in (*deps, *carried)))


_COMPILING = {
    "srcs": Attribute(
        Kind.SOURCES, doc="C, C++ and assembler files; headers among them are private"
    ),
    "headers": Attribute(Kind.SOURCES, doc="headers for the target itself"),
    "exported_headers": Attribute(Kind.SOURCES, doc="headers for it and all who depend on it"),
    "deps": Attribute(Kind.LABEL_LIST, doc="libraries"),
    "compiler_flags": Attribute(Kind.STRING_LIST, doc="for its own sources"),
    "preprocessor_flags": Attribute(Kind.STRING_LIST, doc="for its own sources"),
    "exported_preprocessor_flags": Attribute(Kind.STRING_LIST, doc="for it and its dependents"),
    "defines": Attribute(Kind.STRING_LIST, doc="macros, for it and its dependents"),
    "local_defines": Attribute(Kind.STRING_LIST, doc="macros, for its own sources"),
    "includes": Attribute(Kind.STRING_LIST, doc="include folders, for it and its dependents"),
    "linker_flags": Attribute(Kind.STRING_LIST, doc="for its own link"),
    "resources": Attribute(Kind.SOURCES, doc="files it reads when it runs"),
}
_ALIASES = {"hdrs": "exported_headers", "copts": "compiler_flags", "data": "resources"}

BINARY = {
    **_COMPILING,
    "env": Attribute(Kind.STRING_DICT, doc="environment it is started with"),
}
ALIASES = {**_ALIASES, "linkopts": "linker_flags"}

RULES = (
    Rule(
        "cxx_library",
        {
            **_COMPILING,
            "exported_deps": Attribute(Kind.LABEL_LIST, doc="libraries whose headers are its own"),
            "exported_linker_flags": Attribute(Kind.STRING_LIST, doc="for every link it is in"),
            "soname": Attribute(Kind.STRING, doc="file name of the shared library"),
        },
        library,
        aliases={**_ALIASES, "linkopts": "exported_linker_flags"},
        names=("cc_library",),
        doc="A shared library, or headers alone.",
    ),
    Rule(
        "cxx_python_extension",
        {
            **_COMPILING,
            "base_module": Attribute(Kind.STRING, doc="Python package it is imported from"),
            "module_name": Attribute(Kind.STRING, doc="last part of its import name"),
        },
        extension,
        aliases={**_ALIASES, "linkopts": "linker_flags"},
        doc="An extension module for Python.",
    ),
    Rule(
        "cxx_binary",
        BINARY,
        binary,
        aliases=ALIASES,
        names=("cc_binary",),
        doc="A program.",
    ),
)
