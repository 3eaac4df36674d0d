"""Python: libraries and programs, compiled ahead of time."""

from __future__ import annotations

from pathlib import PurePosixPath

from lamina.build.analysis import Context, RuleFault, SourceFile
from lamina.build.attributes import Attribute, Kind
from lamina.build.disk import join
from lamina.build.launchers import BOOTSTRAPS, python_bootstrap, python_launcher
from lamina.build.providers import Analysed, Runnable
from lamina.build.rule import Rule
from lamina.core.action import Artifact, Literal

# Reads `source output` pairs. Unchecked-hash files are taken as they are: neither the time stamp
# of the source, which is fixed in a layer, nor its content is looked at when a program starts.
_COMPILE = b"""\
import sys
from py_compile import PycInvalidationMode, PyCompileError, compile

failed = False
for source, output in zip(sys.argv[1::2], sys.argv[2::2]):
    try:
        compile(source, output, source, True, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)
    except PyCompileError as error:
        failed = True
        sys.stderr.write(error.msg.rstrip() + "\\n")
sys.exit(failed)
"""
_SCRIPT = ".lamina-compile.py"


def _base(ctx: Context) -> str:
    """The folder of the package root under which the target's files lie."""
    return ctx.module_folder("base_module")


def _place(ctx: Context, source: SourceFile) -> str:
    """Where a file lies in the package root: at its import path."""
    foreign = source.label.package != ctx.label.package and source.path == source.label.name
    return source.full if foreign else join(_base(ctx), source.path)


def _compiled(ctx: Context, sources: dict[str, Artifact]) -> dict[str, Artifact]:
    """The .pyc files of some sources, by path in the package root."""
    python = ctx.toolchains.python
    outputs = {path: _cached(path, python.tag) for path in sorted(sources)}
    arguments = [word for path, pyc in outputs.items() for word in (path, f"out/{pyc}")]
    if not outputs:
        return {}
    action = ctx.action(
        "PyCompile",
        [python.command, "-I", "-S", _SCRIPT, *arguments],
        {**sources, _SCRIPT: Literal(_COMPILE)},
        outputs.values(),
        toolchain=python.identity,
        subject=next(iter(outputs)) if len(outputs) == 1 else str(ctx.label),
        mounts=python.mounts,
    )
    return {pyc: action.output(pyc) for pyc in outputs.values()}


def _cached(path: str, tag: str) -> str:
    """`a/b.py` -> `a/__pycache__/b.cpython-311.pyc`, where the import system looks."""
    file = PurePosixPath(path)
    return str(file.parent / "__pycache__" / f"{file.stem}.{tag}.pyc")


def _own(ctx: Context, sources: list[SourceFile]) -> dict[str, Artifact]:
    """Sources, what they compile to, and resources, by path in the package root."""
    modules: dict[str, Artifact] = {}
    for source in sources:
        if PurePosixPath(source.full).suffix not in (".py", ".pyi"):
            raise RuleFault(
                f"`{source.path}` in `srcs` is not a Python file",
                hint="put files that are no modules into `resources`",
                mention=source.label,
            )
        modules[_place(ctx, source)] = source.artifact
    code = {path: file for path, file in modules.items() if path.endswith(".py")}
    own = modules | _compiled(ctx, code)
    for resource in ctx.data("resources")[0]:
        own[_place(ctx, resource)] = resource.artifact
    return own


def _runtime(ctx: Context) -> list[Analysed]:
    """Whose layers the target needs: its dependencies, and resources that bring some."""
    deps = ctx.deps("deps")
    for dep in deps:
        if dep.files and not (dep.own or dep.runtime or dep.cxx):
            raise RuleFault(
                f"`{dep.label}` in `deps` is no library: it only makes files",
                hint="put it into `srcs` or `resources`",
                mention=dep.label,
            )
    return [*deps, *ctx.data("resources")[1]]


def _imports(ctx: Context, deps: list[Analysed]) -> tuple[str, ...]:
    """Import roots besides the package root, by path in it: Bazel's `imports`, all the way down."""
    own = [join(ctx.label.package, path).removesuffix("/.") for path in ctx.texts("imports")]
    return tuple(dict.fromkeys((*own, *(path for dep in deps for path in dep.imports))))


def library(ctx: Context) -> Analysed:
    """`python_library`."""
    deps = _runtime(ctx)
    sources = ctx.sources("srcs")
    return Analysed(
        ctx.label,
        files=tuple((source.full, source.artifact) for source in sources),
        own=_own(ctx, sources),
        runtime=tuple(dict.fromkeys(dep.label for dep in deps)),
        imports=_imports(ctx, deps),
    )


def binary(ctx: Context) -> Analysed:
    """`python_binary`: a library with a launcher."""
    deps = _runtime(ctx)
    sources = ctx.sources("srcs")
    main, function = _main(ctx, sources)
    imports = _imports(ctx, deps)
    name = ctx.program_name
    python = ctx.toolchains.python
    bootstrap = f"{BOOTSTRAPS}/{name}.py"
    interpreter = (_versioned(python.path, python.version), f"python{python.version}")
    environment = dict(ctx.pairs("env"))
    launcher = python_launcher(name, bootstrap, interpreter, environment)
    start = python_bootstrap(bootstrap, name, main, function, imports)
    own = _own(ctx, sources)
    own |= {name: Literal(launcher, executable=True), bootstrap: Literal(start)}
    return Analysed(
        ctx.label,
        files=tuple((source.full, source.artifact) for source in sources),
        own=own,
        runtime=tuple(dict.fromkeys(dep.label for dep in deps)),
        imports=imports,
        runnable=Runnable(name, f"python{python.version}"),
    )


def _versioned(path: str, version: str) -> str:
    """`/usr/bin/python3` -> `/usr/bin/python3.11`: a node's other python3 must not be taken."""
    folder = path.rpartition("/")[0]
    return f"{folder}/python{version}"


def _main(ctx: Context, sources: list[SourceFile]) -> tuple[str, str]:
    """The module to run and, with `main_function`, the function in it."""
    if function := ctx.text("main_function"):
        module, _, name = function.rpartition(".")
        return module, name
    if module := ctx.text("main_module"):
        return module, ""
    file = ctx.source("main")
    if file is None:
        named = [source for source in sources if source.path == f"{ctx.label.name}.py"]
        file = next(iter(named or sources), None)
        if file is None or (len(sources) > 1 and not named):
            raise RuleFault(
                "it does not say what to run",
                hint='give it `main = "file.py"` or `main_module = "package.module"`',
            )
    if file.path not in {source.path for source in sources}:
        sources.append(file)
    return _place(ctx, file).removesuffix(".py").replace("/", "."), ""


_LIBRARY = {
    "srcs": Attribute(Kind.SOURCES, doc="Python files, or a dict of path in the package to file"),
    "deps": Attribute(Kind.LABEL_LIST, doc="Python and C++ libraries, extension modules"),
    "resources": Attribute(Kind.SOURCES, doc="files laid beside the modules"),
    "base_module": Attribute(Kind.STRING, doc="import prefix in place of the build package's path"),
    "imports": Attribute(Kind.STRING_LIST, doc="folders that are import roots too"),
    "srcs_version": Attribute(Kind.ANY),
}

RULES = (
    Rule(
        "python_library",
        _LIBRARY,
        library,
        aliases={"data": "resources"},
        names=("py_library",),
        doc="Python modules.",
    ),
    Rule(
        "python_binary",
        {
            **_LIBRARY,
            "main": Attribute(Kind.SOURCE, doc="the file to run; `<name>.py` by default"),
            "main_module": Attribute(Kind.STRING, doc="the module to run"),
            "main_function": Attribute(Kind.STRING, doc="the function to call, `package.module.f`"),
            "env": Attribute(Kind.STRING_DICT, doc="environment it is started with"),
            "python_version": Attribute(Kind.ANY),
            "legacy_create_init": Attribute(Kind.ANY),
            "stamp": Attribute(Kind.ANY),
        },
        binary,
        aliases={"data": "resources"},
        names=("py_binary",),
        doc="A Python program.",
    ),
)
