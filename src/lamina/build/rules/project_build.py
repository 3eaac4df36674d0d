"""One project of others: where its files lie, what it is built with, and what comes of it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Sequence

from lamina.build.analysis import Context, RuleFault, SourceFile
from lamina.build.expansion import mentions
from lamina.build.providers import Analysed, CxxInfo, Runnable, closure, linked_closure
from lamina.build.rules import project_script as steps
from lamina.build.rules.cxx_flags import Flags
from lamina.build.rules.cxx_parts import libraries_of
from lamina.build.sandbox import WORK
from lamina.core.action import Action, Artifact, Literal, Output
from lamina.core.classes import dataclass, field
from lamina.core.errors import IntegrityError
from lamina.core.tree import check_path
from lamina.formats.launcher import LIBRARIES, native_launcher
from lamina.linux import process

Files = dict[str, Artifact]

_SCRIPT = ".lamina-project.sh"
_DEPS, _TOOLS = ".lamina-deps", ".lamina-tools"  # where, in the action, such targets lie
_MNEMONICS = {
    "make_project": "Make",
    "configure_make": "ConfigureMake",
    "cmake_project": "CMake",
}
_OPTIMISED = ("-O2", "-DNDEBUG")
_DEBUGGED = ("-O0", "-g")


@dataclass(slots=True)
class Ground:
    """What a project is built on: its inputs, and the variables that it sees."""

    inputs: Files
    variables: dict[str, str]  # seen by its build system
    include: list[str] = field(default_factory=list)  # flags of the preprocessor
    libraries: list[str] = field(default_factory=list)  # folders
    prefixes: list[str] = field(default_factory=list)
    programs: list[str] = field(default_factory=list)  # folders
    roots: list[tuple[str, Artifact]] = field(default_factory=list)  # package roots of programs


class Project:
    """One target: where its files lie, what it is built with, and what comes of it."""

    def __init__(self, ctx: Context, tools: Iterable[str]) -> None:
        for tool in tools:
            process.require(tool)
        self._ctx = ctx
        self._toolchain = ctx.toolchains.cxx
        self.folder = ctx.in_package(ctx.label.name)  # of what it installs
        self.install = f"{steps.OUT}/{self.folder}"
        inputs: Files = {}
        self._infos, self._targets = libraries_of(ctx, ("deps",), inputs)
        self._source = self._sources(inputs)
        self._ground = Ground(inputs, {})
        self._add_libraries()
        self._add_tools()
        self._set_variables()

    def words(self, name: str) -> list[str]:
        """A list of words, with what they name put in."""
        return [self._expanded(text) for text in self._ctx.texts(name)]

    def pairs(self, name: str) -> list[tuple[str, str]]:
        """A dict, with what its values name put in."""
        return [(key, self._expanded(text)) for key, text in self._ctx.pairs(name)]

    def targets(self, default: Sequence[str]) -> tuple[str, ...]:
        """The targets of its build system that are to be made."""
        return tuple(self.words("targets")) if self._ctx.given("targets") else tuple(default)

    def analysed(self, body: Callable[[Project], list[str]]) -> Analysed:
        """Its action, and the library, programs and files that come of it."""
        ctx = self._ctx
        wanted, outputs = self._wanted()
        last = self._expanded(ctx.text("postfix_script"))
        script = steps.script(self._source, _folder(ctx), body(self), wanted, last)
        inputs = {**self._ground.inputs, _SCRIPT: Literal(script)}
        environment = {**self._ground.variables, **dict(self.pairs("env"))}
        action = Action(
            _MNEMONICS[ctx.target.rule.name],
            str(ctx.label),
            ("/bin/bash", _SCRIPT),
            (*sorted(inputs.items()), *self._ground.roots),
            tuple(outputs),
            tuple(sorted(environment.items())),
            toolchain=self._toolchain.identity,
            subject=self._source,
            mounts=self._toolchain.mounts,
            placement=ctx.placement,
        )
        return self._result(action)

    def _sources(self, inputs: Files) -> str:
        """Make its sources inputs, and return the folder they lie in."""
        ctx = self._ctx
        label = ctx.label_of("lib_source")
        files: list[SourceFile] = [*(ctx.files(label) if label else ()), *ctx.sources("srcs")]
        if not files:
            raise RuleFault(
                "it has no sources",
                hint='name an archive, or its files: `lib_source = ":archive"`,'
                ' `srcs = glob(["zlib/**"])`',
            )
        inputs.update((file.full, file.artifact) for file in files)
        if len(files) == 1:
            return files[0].full  # a folder, or a file in it
        return posixpath.commonpath([posixpath.dirname(each.full) for each in files]) or "."

    def _add_libraries(self) -> None:
        """Let its build system find the libraries that it depends on, each in the usual way."""
        ground = self._ground
        for info in closure(self._infos):
            ground.inputs.update(info.headers)
            if info.prefix is not None:
                path, artifact = info.prefix
                ground.inputs[path] = artifact
                ground.prefixes.append(f"{WORK}/{path}")
        for info in linked_closure(self._infos):
            ground.inputs.update(info.linker_inputs)
            if info.prefix is None:
                self._add_library(info)
        ground.libraries += [f"{prefix}/lib" for prefix in ground.prefixes]
        ground.programs += [f"{prefix}/bin" for prefix in ground.prefixes]
        switches = [
            word for info in closure(self._infos) for each in info.switches for word in each
        ]
        ground.include += [_absolute(word) for word in switches]

    def _add_library(self, info: CxxInfo) -> None:
        """A library of another rule: as `lib<name>.a` or by its own name, in a folder."""
        ground = self._ground
        folder = f"{_DEPS}/lib"
        if info.archive is not None:
            stem = posixpath.basename(info.archive[0])
            name = stem if stem.startswith("lib") else f"lib{stem}"
            ground.inputs.setdefault(f"{folder}/{name}", info.archive[1])
        elif info.library is not None:
            ground.inputs.setdefault(f"{folder}/{info.library[0]}", info.library[1])
        else:
            return
        if f"{WORK}/{folder}" not in ground.libraries:
            ground.libraries.append(f"{WORK}/{folder}")

    def _add_tools(self) -> None:
        """Let its build system find programs that targets make."""
        ctx, ground = self._ctx, self._ground
        for number, label in enumerate(ctx.labels("build_data")):
            tool = ctx.dep(label)
            if tool is None or tool.runnable is None:
                ground.inputs.update((file.full, file.artifact) for file in ctx.files(label))
                continue
            root = f"{_TOOLS}/{number}"
            ground.roots += ctx.root_of(tool, root)
            folder = posixpath.dirname(f"{root}/{tool.runnable.entry_point}")
            ground.programs.append(f"{WORK}/{folder}")

    def _set_variables(self) -> None:
        ctx, ground, cxx = self._ctx, self._ground, self._toolchain
        configuration = ctx.configuration
        mode = _DEBUGGED if configuration.compilation_mode == "dbg" else _OPTIMISED
        flags = Flags(ctx)
        own = [
            "-fPIC", *mode,
            f"-ffile-prefix-map={steps.SOURCES}=.", f"-ffile-prefix-map={steps.BUILD}=.",
            *cxx.compiler_flags, *configuration.copts, *flags.tokens("copts"),
        ]  # fmt: skip
        include = [*ground.include, *(f"-I{prefix}/include" for prefix in ground.prefixes)]
        link = [f"-L{folder}" for folder in ground.libraries]
        # The linker also has to find what shared libraries load themselves.
        link += [f"-Wl,-rpath-link,{folder}" for folder in ground.libraries]
        link += [*cxx.linker_flags, *configuration.linkopts]
        ground.variables |= {
            "INSTALLDIR": self.install,
            "BUILD_TMPDIR": steps.BUILD,
            "EXT_BUILD_ROOT": WORK,
            "CC": cxx.c,
            "CXX": cxx.cxx,
            "AR": cxx.archiver,
            "RANLIB": "ranlib",
            "CFLAGS": _joined(own, cxx.c_flags, configuration.conlyopts),
            "CXXFLAGS": _joined(own, cxx.cxx_flags, configuration.cxxopts),
            "CPPFLAGS": _joined(include),
            "LDFLAGS": _joined(link),
            # An environment variable passes through make and libtool unharmed, `$` in it too.
            "LD_RUN_PATH": f"$ORIGIN:$ORIGIN/../{LIBRARIES}",
            "CMAKE_PREFIX_PATH": ":".join(ground.prefixes),
            "CMAKE_INCLUDE_PATH": ":".join(_include_folders(ground.include)),
            "CMAKE_LIBRARY_PATH": ":".join(ground.libraries),
            "PKG_CONFIG_PATH": ":".join(
                f"{prefix}/{place}/pkgconfig"
                for prefix in ground.prefixes
                for place in ("lib", "share")
            ),
            "PATH": ":".join((*ground.programs, "/usr/bin", "/bin")),
            "MAKEFLAGS": "",
        }

    def _expanded(self, text: str) -> str:
        for name in dict.fromkeys(mentions(text)):
            macro = rf"\$\((?:location|execpath|rootpath)\s+{re.escape(name)}\s*\)"
            text = re.sub(macro, self._location(name).replace("\\", r"\\"), text)
        return steps.expanded(text, self._ground.variables)

    def _location(self, text: str) -> str:
        """Where a file that the target names lies in the action."""
        ctx = self._ctx
        label = ctx.cells.home(ctx.label.cell, ctx.label.package).label(text)
        known = label in ctx.target.dependencies()
        files = [f for f in (ctx.files(label) if known else ()) if f.full in self._ground.inputs]
        if len(files) != 1:
            raise RuleFault(
                f"`$(location {text})` names none of its files",
                hint=f"add `{text}` to its `build_data`",
            )
        return f"{WORK}/{files[0].full}"

    def _wanted(self) -> tuple[steps.Wanted, list[str]]:
        """What is taken out of what it installs, and the outputs of its action."""
        ctx, folder = self._ctx, self.folder
        library, program = ctx.text("out_lib_dir"), ctx.text("out_bin_dir")
        static, shared = _names(ctx, "out_static_libs"), _names(ctx, "out_shared_libs")
        binaries, data = _names(ctx, "out_binaries"), _data(ctx)
        headers = ctx.flag("out_headers_only")
        if not (static or shared or binaries or data or headers or ctx.pairs("sub_targets")):
            raise RuleFault(
                "it does not say what comes of it",
                hint='as in `out_static_libs = ["libz.a"]`, `out_shared_libs`, `out_binaries`,'
                " `out_data_files` or `out_headers_only = True`",
            )
        wanted = steps.Wanted(
            [(library, name) for name in static],
            [(library, name) for name in shared],
            [
                *((program, name, f"bin/{name}") for name in binaries),
                *((posixpath.dirname(p) or ".", posixpath.basename(p), p) for p in data),
            ],
        )
        outputs = [
            folder,
            *(f"{folder}{steps.LINKED}/{name}" for name in (*static, *shared)),
            *([f"{folder}{steps.RUN}/{LIBRARIES}"] if shared else ()),
            *(f"{folder}{steps.RUN}/bin/{name}" for name in binaries),
            *(f"{folder}{steps.RUN}/{path}" for path in data),
            *(f"{folder}/{_path(path)}" for _, path in ctx.pairs("sub_targets")),
        ]
        if static or shared or headers:
            outputs.append(f"{folder}/{ctx.text('out_include_dir')}")
        return wanted, list(dict.fromkeys(outputs))

    def _result(self, action: Action) -> Analysed:
        ctx, folder = self._ctx, self.folder
        shared, binaries = _names(ctx, "out_shared_libs"), _names(ctx, "out_binaries")
        own: Files = {}
        if shared:
            own[LIBRARIES] = action.output(f"{folder}{steps.RUN}/{LIBRARIES}")
        data: Files = {p: action.output(f"{folder}{steps.RUN}/{p}") for p in _data(ctx)}
        plain, carried = ctx.data("resources")
        data.update((source.full, source.artifact) for source in plain)
        own |= data
        for name in binaries:
            own[f"bin/{name}"] = action.output(f"{folder}{steps.RUN}/bin/{name}")
        runtime = tuple(dict.fromkeys(t.label for t in (*self._targets, *carried)))
        name = ctx.launcher_name(own, runtime)
        if binaries:
            launcher = native_launcher(f"bin/{binaries[0]}", {})
            own.setdefault(name, Literal(launcher, executable=True))
        info = self._info(action, data)
        return Analysed(
            ctx.label,
            files=((folder, action.output(folder)),),
            own=own,
            runtime=runtime,
            cxx=info,
            runnable=Runnable(name) if binaries else None,
        )

    def _info(self, action: Action, data: Files) -> CxxInfo | None:
        """The library: the first of its files, which needs the others."""
        ctx = self._ctx
        forms = _forms(_names(ctx, "out_static_libs"), _names(ctx, "out_shared_libs"))
        if not forms and not ctx.flag("out_headers_only"):
            return None
        include = f"{self.folder}/{ctx.text('out_include_dir')}"
        installed = action.output(self.folder)
        flags = Flags(ctx)
        switches: list[tuple[str, ...]] = [("-isystem", include)]
        switches += [("-isystem", f"{include}/{_path(path)}") for path in ctx.texts("includes")]
        switches += [(f"-D{define}",) for define in flags.tokens("defines")]
        below: tuple[CxxInfo, ...] = ()
        for static, shared in reversed(forms[1:]):
            below = (self._form(action, static, shared, below),)
        static, shared = forms[0] if forms else ("", "")
        return CxxInfo(
            label=ctx.label,
            root=ctx.root,
            headers=((include, Output(action, include)),),
            switches=tuple(switches),
            linker_flags=tuple(flags.linkopts("linkopts")),
            archive=self._archive(action, static),
            whole=ctx.flag("alwayslink"),
            library=self._library(action, shared),
            data=tuple(data.items()),
            deps=self._infos,
            hidden=below,
            prefix=(self.folder, installed),
        )

    def _form(
        self, action: Action, static: str, shared: str, hidden: tuple[CxxInfo, ...]
    ) -> CxxInfo:
        """One more of its libraries."""
        return CxxInfo(
            label=self._ctx.label,
            root=self._ctx.root,
            archive=self._archive(action, static),
            library=self._library(action, shared),
            hidden=(*hidden, *self._infos),
            prefix=(self.folder, action.output(self.folder)),
        )

    def _archive(self, action: Action, name: str) -> tuple[str, Artifact] | None:
        path = f"{self.folder}{steps.LINKED}/{name}"
        return (path, action.output(path)) if name else None

    def _library(self, action: Action, name: str) -> tuple[str, Artifact] | None:
        path = f"{self.folder}{steps.LINKED}/{name}"
        return (name, action.output(path)) if name else None


def _forms(static: Sequence[str], shared: Sequence[str]) -> list[tuple[str, str]]:
    """Libraries in their order, `libx.a` and `libx.so.1` as two forms of one."""
    by_stem = {re.sub(r"\.so(\.\w+)*$", "", name): name for name in shared}
    forms = [(name, by_stem.pop(name.removesuffix(".a"), "")) for name in static]
    return [*forms, *(("", name) for name in by_stem.values())]


def _folder(ctx: Context) -> str:
    return _path(ctx.text("working_directory")) if ctx.text("working_directory") else ""


def _path(path: str) -> str:
    try:
        return check_path(posixpath.normpath(path))
    except IntegrityError:
        raise RuleFault(f"`{path}` leads out of its folder") from None


def _names(ctx: Context, name: str) -> tuple[str, ...]:
    return tuple(_path(path) for path in dict.fromkeys(ctx.texts(name)))


def _data(ctx: Context) -> tuple[str, ...]:
    return (*_names(ctx, "out_data_files"), *_names(ctx, "out_data_dirs"))


def _joined(*words: Iterable[str]) -> str:
    return " ".join(word for each in words for word in each)


def _absolute(word: str) -> str:
    """An include flag whose folder is named from the root of the workspace."""
    match = re.fullmatch(r"(-I|-isystem|-iquote)?(?!-)(.+)", word)
    if match is None or word.startswith(("-D", "/")) or match[2].startswith("/"):
        return word
    return f"{match[1] or ''}{WORK}/{match[2]}"


def _include_folders(words: Iterable[str]) -> list[str]:
    found = (re.sub(r"^(-I|-isystem|-iquote)", "", word) for word in words)
    return [word for word in found if word.startswith("/")]
