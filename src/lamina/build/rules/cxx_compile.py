"""From sources of C, C++ and assembler to objects, one action each.

Every object is position-independent, so that one compilation serves archives, shared libraries and
programs. Its path has the target's name in it: two targets may compile one source, and `x.c` and
`x.cc` may stand side by side.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence

from lamina.build.analysis import Context, RuleFault, SourceFile
from lamina.build.providers import CxxInfo, closure
from lamina.build.rules import cxx_headers
from lamina.build.rules.cxx_flags import Flags, is_target
from lamina.build.toolchains import Cxx
from lamina.core.action import Action, Artifact
from lamina.core.classes import dataclass, field

C = frozenset({".c"})
PREPROCESSED = frozenset({".S"})  # assembler that the compiler looks through first
ASSEMBLER = frozenset({".s"})
CXX = frozenset({".cc", ".cpp", ".cxx", ".c++", ".C", ".cp", ".CPP"})
COMPILED = C | PREPROCESSED | ASSEMBLER | CXX
HEADERS = frozenset(
    {
        ".h", ".hh", ".hpp", ".hxx", ".h++", ".H", ".inc", ".inl", ".ipp", ".tcc", ".tpp", ".txx",
        ".def", ".tlh", ".tli", ".cuh",
    }
)  # fmt: skip
_INCLUDED = HEADERS | COMPILED | {""}
_SHARED = re.compile(r"\.so(\.\w+)*$")
_ARCHIVES = frozenset({".a", ".lo"})
_OBJECTS = frozenset({".o"})

_COMMON = (
    "-fPIC",
    "-fdiagnostics-color=never",
    "-Wno-builtin-macro-redefined",
    '-D__DATE__="redacted"',
    '-D__TIME__="redacted"',
    '-D__TIMESTAMP__="redacted"',
)
_MODES: Mapping[str, tuple[str, ...]] = {
    "dbg": ("-g",),
    "opt": ("-O2", "-DNDEBUG", "-ffunction-sections", "-fdata-sections"),
}
# Buck's names of languages.
_LANGUAGES: Mapping[str, tuple[str, ...]] = {
    "c": ("c", "c_cpp_output"),
    "cxx": ("cxx", "cxx_cpp_output"),
    "asm": ("assembler", "assembler_with_cpp", "asm_with_cpp"),
}


Input = tuple[str, Artifact]  # a file at its path in an action


@dataclass(slots=True)
class Sources:
    """The files of `srcs` by what they are for."""

    compiled: list[tuple[SourceFile, tuple[str, ...]]] = field(default_factory=list)  # with flags
    headers: list[SourceFile] = field(default_factory=list)
    objects: list[SourceFile] = field(default_factory=list)
    archives: list[SourceFile] = field(default_factory=list)
    shared: list[SourceFile] = field(default_factory=list)


def sources(ctx: Context) -> Sources:
    """What the target's `srcs` are; raises RuleFault for a file that is of no use."""
    found = Sources()
    entries = ctx.target.attributes["srcs"]
    assert isinstance(entries, tuple)
    for path, label, *flags in entries:
        for source in ctx.files(label, path):
            _sort(ctx, source, flags[0] if flags else (), found)
    return found


def _sort(ctx: Context, source: SourceFile, flags: tuple[str, ...], found: Sources) -> None:
    suffix = _suffix(source.full)
    if suffix in COMPILED:
        found.compiled.append((source, flags))
    elif suffix in HEADERS:
        found.headers.append(source)
    elif _SHARED.search(source.full):
        found.shared.append(source)
    elif suffix in _ARCHIVES:
        found.archives.append(source)
    elif suffix in _OBJECTS:
        found.objects.append(source)
    elif not is_target(ctx, source):  # what else a target makes is for others
        raise RuleFault(
            f"`{source.path}` in `srcs` is not C, C++ or assembler",
            hint=f"known endings: {_endings()}, and those of headers, objects and libraries",
            mention=source.label,
        )


def _endings() -> str:
    return " ".join(sorted(COMPILED))


@dataclass(frozen=True, slots=True)
class Compiler:
    """Compiles the sources of one target: what all of them see and are told."""

    ctx: Context
    toolchain: Cxx
    headers: Mapping[str, Input]  # by path
    inputs: tuple[Input, ...]  # the same
    before: tuple[str, ...]
    after: Mapping[str, tuple[str, ...]]  # by language
    untold: tuple[str, ...]  # inputs that no depfile names: what flags lead to, and data

    def object(self, source: SourceFile, flags: Sequence[str]) -> list[Input]:
        """An object, and what `gcov` wants to know of it, each with its path."""
        suffix = _suffix(source.full)
        language = "cxx" if suffix in CXX else "c" if suffix in C else "asm"
        output = f"_objs/{self.ctx.label.name}/{_inner(self.ctx, source.full)}.o"
        output = self.ctx.in_package(output)
        outputs = [output]
        if "--coverage" in self.ctx.configuration.copts and language != "asm":
            outputs.append(f"{output.removesuffix('.o')}.gcno")
        # What the assembler includes itself, no depfile names.
        depfile = "" if suffix in ASSEMBLER | PREPROCESSED else f"{output}.d"
        words = [*self.before, *self.after[language], *flags]
        if len(outputs) > 1:  # the stamp by which it knows its counters is else drawn by lot
            words.append(f"-frandom-seed={output}")
        words += ["-MD", "-MF", f"out/{depfile}"] if depfile else []
        words += ["-c", source.full, "-o", f"out/{output}"]
        program = self.toolchain.cxx if language == "cxx" else self.toolchain.c
        # A source may be among the headers, for others to include it.
        inputs = self.inputs
        if source.full not in self.headers:
            inputs = (*inputs, (source.full, source.artifact))
        action = Action(
            "CxxCompile",
            str(self.ctx.label),
            (program, *words),
            inputs,
            tuple(outputs),
            toolchain=self.toolchain.identity,
            subject=source.full,
            mounts=self.toolchain.mounts,
            depfile=depfile,
            untold=self.untold,
            placement=self.ctx.placement,
        )
        return [(path, action.output(path)) for path in outputs]


@dataclass(frozen=True, slots=True)
class Exported:
    """What a target shows to its dependents, and sees itself."""

    headers: tuple[tuple[str, Artifact], ...]
    switches: tuple[tuple[str, ...], ...]


def exported(ctx: Context, in_sources: Sequence[SourceFile] = ()) -> Exported:
    """The target's exported headers, include folders and defines.

    Headers among the sources are there for the exported ones to include.
    """
    headers, found = cxx_headers.exported(ctx)
    headers += [(source.full, source.artifact) for source in in_sources]
    flags = Flags(ctx)
    found += [(f"-D{define}",) for define in flags.tokens("defines")]
    more = (
        *flags.words("exported_preprocessor_flags"),
        *flags.by_language("exported_lang_preprocessor_flags", ("c", "cxx")),
    )
    if more:
        found.append(more)
    return Exported((*headers, *flags.inputs.items()), tuple(found))


def compiler(
    ctx: Context,
    infos: Sequence[CxxInfo],
    own: Exported,
    more: Sequence[str] = (),
) -> Compiler:
    """What the target's sources are compiled with, over the libraries `infos`."""
    toolchain = ctx.toolchains.cxx
    below = closure(infos)
    flags = Flags(ctx)
    hidden, searched = cxx_headers.private(ctx)
    switches = dict.fromkeys([*searched, *own.switches])
    switches.update(dict.fromkeys(switch for info in below for switch in info.switches))
    configuration = ctx.configuration
    before = (
        *_COMMON,
        *cxx_headers.roots(ctx.root, below),
        *_MODES.get(configuration.compilation_mode, ()),
        *toolchain.compiler_flags,
        *configuration.copts,
        *more,
        *(word for switch in switches for word in switch),
        *(f"-D{define}" for define in flags.tokens("local_defines")),
        *flags.words("preprocessor_flags"),
    )
    last = (*flags.tokens("copts"), *flags.words("compiler_flags"))
    after = {
        language: (*_for_language(ctx, toolchain, language), *last, *_last(flags, language))
        for language in _LANGUAGES
    }
    for label in ctx.labels("additional_compiler_inputs"):
        flags.add(label)
    # Closures are long: the pairs are those that the libraries have, not made anew.
    inputs = [item for info in below for item in info.headers]
    inputs += (*own.headers, *hidden, *flags.inputs.items())
    headers = {item[0]: item for item in inputs}
    data = [path for path in headers if _suffix(path) not in _INCLUDED]
    untold = tuple(dict.fromkeys((*flags.inputs, *data)))
    return Compiler(ctx, toolchain, headers, tuple(headers.values()), before, after, untold)


def _for_language(ctx: Context, toolchain: Cxx, language: str) -> tuple[str, ...]:
    configuration = ctx.configuration
    if language == "cxx":
        return (*toolchain.cxx_flags, *configuration.cxxopts)
    return (*toolchain.c_flags, *configuration.conlyopts) if language == "c" else ()


def _last(flags: Flags, language: str) -> list[str]:
    bazel = {"cxx": "cxxopts", "c": "conlyopts"}.get(language)
    return [
        *(flags.tokens(bazel) if bazel else ()),
        *flags.by_language("lang_preprocessor_flags", _LANGUAGES[language]),
        *flags.by_language("lang_compiler_flags", _LANGUAGES[language]),
    ]


def _inner(ctx: Context, full: str) -> str:
    """A source's path in its build package; from the root, and marked, where it is in another."""
    if not ctx.folder:
        return full
    within = full.removeprefix(f"{ctx.folder}/")
    return within if within != full else f"@{full}"


def _suffix(path: str) -> str:
    return posixpath.splitext(path)[1]
