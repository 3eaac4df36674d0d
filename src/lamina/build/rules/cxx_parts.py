"""What every C and C++ rule does first: sort the sources, find the libraries, compile."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from pathlib import PurePosixPath

from lamina.build.analysis import Context, RuleFault, SourceFile
from lamina.build.providers import Analysed, CxxInfo
from lamina.build.rules import cxx_compile
from lamina.build.rules.cxx_flags import Flags
from lamina.core.action import Artifact
from lamina.core.classes import dataclass
from lamina.core.label import Label
from lamina.formats.launcher import LIBRARIES

Files = dict[str, Artifact]


class Linkage(Enum):
    """In which forms a library is there."""

    ANY = "any"
    STATIC = "static"
    SHARED = "shared"


@dataclass(frozen=True, slots=True)
class Below:
    """What a target depends on, before it is compiled."""

    shown: tuple[CxxInfo, ...]  # libraries whose headers it sees, and dependents may see
    hidden: tuple[CxxInfo, ...]  # libraries whose headers only it sees
    linked: tuple[CxxInfo, ...]  # libraries among its sources, and without headers
    targets: tuple[Analysed, ...]  # all whose layers come with it
    inputs: Mapping[str, Artifact]  # linker scripts among its dependencies

    @property
    def all(self) -> tuple[CxxInfo, ...]:
        """Every library, those of its sources first."""
        return (*self.linked, *self.shown, *self.hidden)


@dataclass(frozen=True, slots=True)
class Compiled:
    """A target after compilation."""

    below: Below
    exported: cxx_compile.Exported
    objects: Files
    notes: tuple[tuple[str, Artifact], ...]
    data: Files  # what it reads at run time, by path in the package root
    carried: tuple[Analysed, ...]  # targets whose layers its data are

    @property
    def carried_labels(self) -> tuple[Label, ...]:
        return tuple(target.label for target in self.carried)


def compiled(
    ctx: Context,
    names: Sequence[str] = ("deps",),
    hidden: Sequence[str] = (),
    more: Sequence[str] = (),
) -> Compiled:
    """Compile the target's sources over the libraries in the attributes `names` and `hidden`."""
    sources = cxx_compile.sources(ctx)
    plain, carried = ctx.data("resources")
    data = {source.full: source.artifact for source in plain}
    linked, libraries = _among_sources(ctx, sources)
    below = _below(ctx, names, hidden, linked)
    exported = cxx_compile.exported(ctx, sources.headers)
    objects = _objects(sources)
    notes: tuple[tuple[str, Artifact], ...] = ()
    if sources.compiled:
        seen = (*below.shown, *below.hidden)
        compiler = cxx_compile.compiler(ctx, seen, exported, more)
        made = [compiler.object(*source) for source in sources.compiled]
        objects.update(each[0] for each in made)
        notes = tuple(note for each in made for note in each[1:])
    return Compiled(below, exported, objects, notes, data | libraries, tuple(carried))


def _objects(sources: cxx_compile.Sources) -> Files:
    """Those among the sources; of `x.o` and `x.pic.o` the second."""
    names = {source.full for source in sources.objects}
    return {
        source.full: source.artifact
        for source in sources.objects
        if f"{source.full.removesuffix('.o')}.pic.o" not in names
    }


def _below(
    ctx: Context, names: Sequence[str], hidden: Sequence[str], linked: tuple[CxxInfo, ...]
) -> Below:
    inputs: Files = {}
    shown, targets = libraries_of(ctx, names, inputs)
    private, more = libraries_of(ctx, hidden, inputs)
    return Below(shown, private, linked, (*targets, *more), inputs)


def libraries_of(
    ctx: Context, names: Sequence[str], inputs: Files
) -> tuple[tuple[CxxInfo, ...], tuple[Analysed, ...]]:
    """The libraries that some attributes name; linker scripts among them become inputs."""
    infos: dict[CxxInfo, None] = {}
    targets: list[Analysed] = []
    for label in dict.fromkeys(label for name in names for label in _labels(ctx, name)):
        target = ctx.dep(label)
        if target is not None and target.cxx is not None:
            infos[target.cxx] = None
            targets.append(target)
            continue
        files = ctx.files(label)
        if not files or not all(_is_script(file) for file in files):
            raise RuleFault(f"`{label}` is not a C or C++ library", mention=label)
        inputs.update((file.full, file.artifact) for file in files)
    return tuple(infos), tuple(targets)


def _labels(ctx: Context, name: str) -> tuple[Label, ...]:
    value = ctx.target.attributes[name]
    if isinstance(value, Label):
        return (value,)
    return value if isinstance(value, tuple) else ()


def _is_script(file: SourceFile) -> bool:
    return PurePosixPath(file.full).suffix in (".lds", ".ld", ".ldscript", ".map", ".ver", ".txt")


def _among_sources(ctx: Context, sources: cxx_compile.Sources) -> tuple[tuple[CxxInfo, ...], Files]:
    """Libraries that `srcs` names as files, and the shared ones by path in the package root.

    `libx.a` and `libx.so` are two forms of one; of `libx.a` and `libx.pic.a` the second is taken.
    """
    archives: dict[str, SourceFile] = {}
    for file in sources.archives:
        stem = re.sub(r"(\.pic)?\.(a|lo)$", "", file.full)
        if stem not in archives or ".pic." in file.full:
            archives[stem] = file
    infos = []
    whole = "link_whole" in ctx.target.attributes and ctx.flag("link_whole")
    shared = {re.sub(r"\.so(\.\w+)*$", "", file.full): file for file in sources.shared}
    for stem in dict.fromkeys([*archives, *shared]):
        archive, library = archives.get(stem), shared.get(stem)
        name = posixpath.basename(library.full) if library else ""
        infos.append(
            CxxInfo(
                archive=(archive.full, archive.artifact) if archive else None,
                whole=whole or bool(archive and archive.full.endswith(".lo")),
                library=(name, library.artifact) if library else None,
                data=((f"{LIBRARIES}/{name}", library.artifact),) if library else (),
            )
        )
    files: Files = {path: artifact for info in infos for path, artifact in info.data}
    return tuple(infos), files


def layers(targets: Iterable[Analysed]) -> tuple[Label, ...]:
    """The labels of targets whose layers come with one, each once."""
    return tuple(dict.fromkeys(target.label for target in targets))


def linker_inputs(ctx: Context, flags: Flags) -> Files:
    """The files that linker flags name, and those that are there for them."""
    for label in ctx.labels("additional_linker_inputs"):
        flags.add(label)
    return flags.inputs


def exported_linker_flags(flags: Flags) -> tuple[str, ...]:
    """The flags for every link that a library ends up in."""
    return (
        *flags.linkopts("linkopts"),
        *flags.words("exported_linker_flags", "exported_post_linker_flags"),
    )


def linkage(ctx: Context) -> Linkage:
    """The forms that the target's attributes ask for."""
    if ctx.flag("linkstatic") or ctx.flag("force_static"):
        return Linkage.STATIC
    known = [each.value for each in Linkage]
    return Linkage(choice(ctx, "preferred_linkage", known) or "any")


def choice(ctx: Context, name: str, known: Sequence[str]) -> str:
    """An attribute that is one of a few words, or ""."""
    value = ctx.text(name)
    if value and value not in known:
        raise RuleFault(
            f'`{name}` cannot be `"{value}"`',
            hint="it is one of " + ", ".join(f'`"{each}"`' for each in known),
            attribute=name,
        )
    return value
