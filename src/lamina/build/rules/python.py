"""Python: libraries, programs and tests, compiled ahead of time."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from lamina.build.analysis import Context, RuleFault, SourceFile
from lamina.build.attributes import Attribute, Kind
from lamina.build.bootstraps import TESTING, python_bootstrap, tests_bootstrap
from lamina.build.disk import join
from lamina.build.providers import Analysed, Runnable
from lamina.build.rule import Rule
from lamina.build.rules.running import RUNNING, arguments, environment
from lamina.build.rules.testing import TEST, info
from lamina.core.action import Artifact, Literal
from lamina.core.classes import replace
from lamina.formats.launcher import BOOTSTRAPS, LIBRARIES, bootstrap_of, python_launcher, versioned

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
_RUNNERS = {  # modules beside the bootstrap of a test -> where they are kept
    TESTING: Path(__file__).parents[1] / "testing" / "python_runner.py",
    f"{TESTING}_unittest": Path(__file__).parents[1] / "testing" / "python_unittest.py",
}

Files = dict[str, Artifact]


def _base(ctx: Context) -> str:
    """The folder of the package root under which the target's files lie."""
    return ctx.module_folder("base_module")


def _place(ctx: Context, source: SourceFile) -> str:
    """Where a file lies in the package root: at its import path, from the root of its cell."""
    foreign = source.label.home != ctx.label.home and source.path == source.label.name
    if not foreign:
        return join(_base(ctx), source.path)
    root = ctx.cells.folder(source.label.cell)
    return source.full.removeprefix(f"{root}/") if root else source.full


def _compiled(ctx: Context, sources: Files) -> Files:
    """The .pyc files of some sources, by path in the package root."""
    python = ctx.toolchains.python
    outputs = {path: _cached(path, python.tag) for path in sorted(sources)}
    words = [word for path, pyc in outputs.items() for word in (path, f"out/{pyc}")]
    if not outputs:
        return {}
    action = replace(
        ctx.action(
            "PyCompile",
            [python.command, "-I", "-S", _SCRIPT, *words],
            {**sources, _SCRIPT: Literal(_COMPILE)},
            outputs.values(),
            toolchain=python.identity,
            subject=next(iter(outputs)) if len(outputs) == 1 else str(ctx.label),
            mounts=python.mounts,
        ),
        worker="python-compile",
    )
    return {pyc: action.output(pyc) for pyc in outputs.values()}


def _cached(path: str, tag: str) -> str:
    """`a/b.py` -> `a/__pycache__/b.cpython-311.pyc`, where the import system looks."""
    folder, _, name = path.rpartition("/")
    return join(folder, f"__pycache__/{name.removesuffix('.py')}.{tag}.pyc")


def _own(ctx: Context, sources: Iterable[SourceFile]) -> Files:
    """Sources, what they compile to, stubs and resources, by path in the package root."""
    modules: Files = {}
    for source in sources:
        if not source.full.endswith((".py", ".pyi")):
            raise RuleFault(
                f"`{source.path}` in `srcs` is not a Python file",
                hint="put files that are no modules into `resources`",
                mention=source.label,
            )
        modules[_place(ctx, source)] = source.artifact
    code = {path: file for path, file in modules.items() if path.endswith(".py")}
    own = modules | _compiled(ctx, code)
    own.update((_place(ctx, stub), stub.artifact) for stub in ctx.sources("type_stubs"))
    for resource in ctx.data("resources")[0]:
        own[_place(ctx, resource)] = resource.artifact
        if ctx.root:  # Bazel's `data` of a cell is opened by the whole path
            own[resource.full] = resource.artifact
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


def _imports(ctx: Context, deps: Iterable[Analysed]) -> tuple[str, ...]:
    """Import roots besides the package root, by path in it: Bazel's `imports`, all the way down."""
    own = [_import_root(ctx, path) for path in ctx.texts("imports")]
    found = dict.fromkeys((*own, *(path for dep in deps for path in dep.imports)))
    return tuple(path for path in found if path != ".")


def _import_root(ctx: Context, path: str) -> str:
    root = posixpath.normpath(join(ctx.label.package, path))
    if root.startswith(("../", "/")) or root == "..":
        raise RuleFault(
            f"`{path}` in `imports` leads out of the workspace",
            hint="it is a folder, from that of the BUILD file",
            attribute="imports",
        )
    return root


def _check(ctx: Context) -> None:
    """Raises RuleFault for what this tool has another way to say."""
    for name in _BY_PLATFORM:
        if ctx.given(name):
            raise RuleFault(
                f"`{name}` is not known here",
                hint=f"say it with `{name.partition('_')[2]} = select({{…}})`",
                attribute=name,
            )
    for name in ("python_version", "srcs_version"):
        if ctx.given(name) and ctx.text(name) in ("PY2", "PY2ONLY"):
            raise RuleFault(
                f'it is for Python 2: `{name} = "{ctx.text(name)}"`',
                hint="port it, and leave the attribute out",
                attribute=name,
            )


def library(ctx: Context) -> Analysed:
    """`python_library`."""
    _check(ctx)
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
    return _program(ctx, _Start(ctx, ctx.sources("srcs")))


def test(ctx: Context) -> Analysed:
    """`python_test` and `py_test`: all its modules have tests, or its main file runs them."""
    sources = ctx.sources("srcs")
    says = any(ctx.given(name) for name in ("main", "main_module", "main_function"))
    start = _Start(ctx, sources, test=True)
    if ctx.target.rule.name == "python_test" and not says:
        start.modules = [_place(ctx, source) for source in sources]
        if not start.modules:
            raise RuleFault("it has no `srcs`", hint="list the files with its tests")
    analysed = _program(ctx, start)
    return replace(analysed, own={**analysed.own, **_runner()}, test=info(ctx, "py"))


@cache
def _runner() -> Files:
    """The modules that run tests, by path in the package root."""
    return {
        f"{BOOTSTRAPS}/{name}.py": Literal(path.read_bytes()) for name, path in _RUNNERS.items()
    }


class _Start:
    """What a program starts with: a module, a function, or the tests in modules."""

    def __init__(self, ctx: Context, sources: list[SourceFile], *, test: bool = False) -> None:
        self._ctx = ctx
        self.sources = sources
        self._test = test
        self.modules: list[str] = []  # with tests, by path in the package root

    def script(self, imports: Sequence[str]) -> bytes:
        """The bootstrap; adds a main file to the sources."""
        ctx = self._ctx
        if self.modules:
            framework = ctx.text("framework") or ("pytest" if ctx.flag("use_pytest") else "")
            if framework not in ("", "pytest", "unittest"):
                raise RuleFault(
                    f'no `framework` is called "{framework}"',
                    hint='"pytest" or "unittest"; without it, pytest where `deps` bring it',
                    attribute="framework",
                )
            return tests_bootstrap(BOOTSTRAPS, str(ctx.label), self.modules, framework, imports)
        main, function = _main(ctx, self.sources)
        return python_bootstrap(
            BOOTSTRAPS,
            ctx.program_name,
            main,
            function,
            imports,
            environment=environment(ctx),
            arguments=arguments(ctx),
            test=self._test,
        )


def _program(ctx: Context, start: _Start) -> Analysed:
    _check(ctx)
    deps = _runtime(ctx)
    preloaded = ctx.libraries("preload_deps")[0]
    imports = _imports(ctx, deps)
    python = ctx.toolchains.python
    script = start.script(imports)
    own = _own(ctx, start.sources)
    runtime = tuple(dict.fromkeys(dep.label for dep in (*preloaded, *deps)))
    name = ctx.launcher_name(own, runtime)
    bootstrap = bootstrap_of(name)
    launcher = python_launcher(
        ctx.program_name,
        bootstrap,
        (versioned(python.path, python.version), f"python{python.version}"),
        environment(ctx),
        arguments(ctx),
        [_shared(dep) for dep in preloaded],
    )
    own |= {name: Literal(launcher, executable=True), bootstrap: Literal(script)}
    return Analysed(
        ctx.label,
        files=tuple((source.full, source.artifact) for source in start.sources),
        own=own,
        runtime=runtime,
        imports=imports,
        runnable=Runnable(name, f"python{python.version}", python.identity, python.mounts),
    )


def _shared(dep: Analysed) -> str:
    """Where the shared library of a target lies in the package root."""
    assert dep.cxx is not None
    if dep.cxx.library is None:
        raise RuleFault(
            f"`{dep.label}` in `preload_deps` has no shared library",
            hint="it needs sources, and another `preferred_linkage` than `static`",
            mention=dep.label,
        )
    return f"{LIBRARIES}/{dep.cxx.library[0]}"


def _main(ctx: Context, sources: list[SourceFile]) -> tuple[str, str]:
    """The module to run and, with `main_function`, the function in it."""
    if function := ctx.text("main_function"):
        module, _, name = function.rpartition(".")
        if not (module or ctx.text("main_module")):
            raise RuleFault(
                f'`main_function = "{function}"` names no module',
                hint=f'write `main_function = "package.module.{function}"`',
                attribute="main_function",
            )
        return module or ctx.text("main_module"), name
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


def _ignored(words: str) -> dict[str, Attribute]:
    return {name: Attribute(Kind.ANY) for name in words.split()}


# Buck's older ways to choose by platform or version.
_BY_PLATFORM = (
    "platform_srcs",
    "platform_resources",
    "platform_deps",
    "versioned_srcs",
    "versioned_resources",
)

_LIBRARY = {
    "srcs": Attribute(Kind.SOURCES, doc="Python files, or a dict of path in the package to file"),
    "deps": Attribute(Kind.LABEL_LIST, doc="Python and C++ libraries, extension modules"),
    "resources": Attribute(Kind.SOURCES, doc="files laid beside the modules"),
    "type_stubs": Attribute(Kind.SOURCES, doc="`.pyi` files, laid beside the modules"),
    "base_module": Attribute(Kind.STRING, doc="import prefix in place of the build package's path"),
    "imports": Attribute(Kind.STRING_LIST, doc="folders that are import roots too"),
    "srcs_version": Attribute(Kind.STRING, doc="Python 2 is refused"),
    **_ignored("typing pyi_deps precompile zip_safe exclude_deps_from_merged_linking"),
    **{
        name: Attribute(
            Kind.ANY, doc=f"refused: `{name.partition('_')[2]} = select({{…}})` says it"
        )
        for name in _BY_PLATFORM
    },
}
_BINARY = {
    **_LIBRARY,
    "main": Attribute(Kind.SOURCE, doc="the file to run; `<name>.py` by default"),
    "main_module": Attribute(Kind.STRING, doc="the module to run"),
    "main_function": Attribute(Kind.STRING, doc="the function to call, `package.module.f`"),
    **RUNNING,
    "preload_deps": Attribute(
        Kind.LABEL_LIST, doc="C++ libraries that are loaded before all others, in this order"
    ),
    "python_version": Attribute(Kind.STRING, doc="Python 2 is refused"),
    **_ignored(
        "legacy_create_init stamp package_style link_style linker_flags compile build_args"
        " native_link_strategy strip_libpar par_style runtime_library_mode interpreter_args"
        " pyc_collection precompile_invalidation_mode precompile_optimize_level"
        " manifest_module_entries version_selections deps_query use_oss_python compiler_flags"
        " executable_name unique_static_resources python_runtime bundled_runtime"
    ),
}
_TEST = {
    **_BINARY,
    **TEST,
    "framework": Attribute(
        Kind.STRING, doc='`"pytest"` or `"unittest"`; by default pytest where `deps` bring it'
    ),
    "use_pytest": Attribute(Kind.BOOLEAN, doc='as `framework = "pytest"`'),
}
_ALIASES = {"data": "resources", "pyi_srcs": "type_stubs", "runtime_env": "env"}

RULES = (
    Rule(
        "python_library",
        _LIBRARY,
        library,
        aliases={name: to for name, to in _ALIASES.items() if to in _LIBRARY},
        names=("py_library",),
        doc="Python modules.",
    ),
    Rule(
        "python_binary",
        _BINARY,
        binary,
        aliases=_ALIASES,
        names=("py_binary",),
        doc="A Python program.",
    ),
    Rule(
        "python_test",
        _TEST,
        test,
        aliases=_ALIASES,
        doc="Tests in Python: all its modules; with `main` or its like as `py_test`.",
    ),
    Rule(
        "py_test",
        _TEST,
        test,
        aliases=_ALIASES,
        doc="A Python program that tests.",
    ),
)
