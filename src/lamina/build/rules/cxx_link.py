"""From objects to archives, shared libraries and programs.

A link takes of each library below it the archive or loads the shared library. Shared objects find
each other by a RUNPATH relative to themselves, so a package root works wherever it is mounted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from lamina.build.analysis import Context, RuleFault
from lamina.build.providers import CxxInfo, linked_closure
from lamina.build.rules.cxx_response import shortened
from lamina.core.action import Action, Artifact
from lamina.core.classes import dataclass
from lamina.formats.launcher import LIBRARIES

_FOLDER = "lib"  # where, in a link action, shared libraries lie
_MODES: Mapping[str, tuple[str, ...]] = {"opt": ("-Wl,--gc-sections",)}

Files = dict[str, Artifact]


@dataclass(frozen=True, slots=True)
class Libraries:
    """The libraries of one link, in the form that it takes each in."""

    archives: tuple[CxxInfo, ...]  # dependents before dependencies
    near: tuple[CxxInfo, ...]  # shared ones that it names itself, or through archives
    far: tuple[CxxInfo, ...]  # shared ones that those load
    late: tuple[CxxInfo, ...]  # archives that only shared ones name: their headers may call them
    whole: frozenset[CxxInfo]  # those of the archives that are linked be they called or not

    @property
    def shared(self) -> tuple[CxxInfo, ...]:
        """All shared libraries."""
        return (*self.near, *self.far)


def choose(infos: Iterable[CxxInfo], *, shared: bool, whole: Iterable[CxxInfo] = ()) -> Libraries:
    """Decide on the form of each library that some of `infos` need.

    With `shared` it is loaded where it can be, else it is linked in where it can be. What lies
    below a library that is loaded anyway is loaded too: so there is one copy of it.
    """
    infos = list(infos)
    order = linked_closure(infos)
    within = {each for info in order for each in info.contents}
    order = tuple(info for info in order if info not in within)
    loaded = {info for info in order if info.library and (shared or not info.archive)}
    if loaded and not shared:
        below = {each for info in loaded for each in info.linked}
        loaded |= {info for info in order if info.library and info in below}
    direct = _direct(infos, loaded) if loaded else set(order)
    archives = [info for info in order if info.archive and info not in loaded]
    shared_ones = [info for info in order if info in loaded]
    return Libraries(
        archives=tuple(info for info in archives if info in direct),
        near=tuple(info for info in shared_ones if info in direct or info.whole),
        far=tuple(info for info in shared_ones if not (info in direct or info.whole)),
        late=tuple(info for info in archives if info not in direct),
        whole=frozenset(info for info in archives if info.whole).union(whole),
    )


def _direct(infos: list[CxxInfo], loaded: set[CxxInfo]) -> set[CxxInfo]:
    """What is reached without passing by a shared library."""
    found: set[CxxInfo] = set()
    stack = list(infos)
    while stack:
        info = stack.pop()
        if info not in found:
            found.add(info)
            if info not in loaded:
                stack.extend((*info.deps, *info.hidden))
    return found


@dataclass(frozen=True, slots=True)
class Link:
    """What a link is made of, besides the libraries."""

    objects: Mapping[str, Artifact]
    output: str
    runpath: str
    first: Sequence[str] = ()  # such as `-shared`
    flags: Sequence[str] = ()  # the target's own
    inputs: Mapping[str, Artifact] | None = None  # files that the flags name


def link(ctx: Context, parts: Link, libraries: Libraries, infos: Iterable[CxxInfo]) -> Artifact:
    """The shared object or program of some objects and libraries, all that `infos` need."""
    cxx = ctx.toolchains.cxx
    inputs: Files = {**parts.objects, **(parts.inputs or {})}
    words = [
        *parts.objects,
        *_words(libraries, inputs),
        f"-Wl,-rpath,{parts.runpath}", "-Wl,--enable-new-dtags", f"-Wl,-rpath-link,{_FOLDER}",
        *_MODES.get(ctx.configuration.compilation_mode, ()),
        *cxx.linker_flags,
        *ctx.configuration.linkopts,
        *parts.flags,
        *_carried(libraries, infos, inputs),
    ]  # fmt: skip
    words, more = shortened(words)
    inputs.update(more)
    arguments = [cxx.cxx, *parts.first, "-o", f"out/{parts.output}", *words]
    return _action(ctx, "CxxLink", arguments, inputs, parts.output)


def archive(ctx: Context, objects: Mapping[str, Artifact], output: str) -> Artifact:
    """The archive of some objects; two of one name, from two folders, are both kept."""
    cxx = ctx.toolchains.cxx
    words, more = shortened(list(objects))
    arguments = [cxx.archiver, "qcsD", f"out/{output}", *words]
    return _action(ctx, "CxxArchive", arguments, {**objects, **dict(more)}, output)


def _action(
    ctx: Context, mnemonic: str, arguments: Sequence[str], inputs: Files, output: str
) -> Artifact:
    """What makes one output; the inputs keep the order of the command line."""
    cxx = ctx.toolchains.cxx
    action = Action(
        mnemonic,
        str(ctx.label),
        tuple(arguments),
        tuple(inputs.items()),
        (output,),
        toolchain=cxx.identity,
        subject=output,
        mounts=cxx.mounts,
        placement=ctx.placement,
    )
    return action.output(output)


def _words(libraries: Libraries, inputs: Files) -> list[str]:
    """The libraries on the command line, and their files as inputs.

    What a target names is loaded even if it calls nothing there: some libraries register
    themselves. What lies below is needed where a header in between calls it.
    """
    archives = [_archive(info, libraries, inputs) for info in libraries.archives]
    words = [word for each in archives for word in each]
    if not libraries.shared:
        return words
    near = _shared(libraries.near, inputs)
    far = _shared(libraries.far, inputs)
    late = [word for info in libraries.late for word in _archive(info, libraries, inputs)]
    return [
        f"-L{_FOLDER}",
        "-Wl,--push-state,--no-as-needed", *near,
        "-Wl,--pop-state", *words,
        "-Wl,--push-state,--as-needed", *far, *late, *(far if late else ()),
        "-Wl,--pop-state",
    ]  # fmt: skip


def _archive(info: CxxInfo, libraries: Libraries, inputs: Files) -> list[str]:
    assert info.archive is not None
    path, artifact = info.archive
    inputs[path] = artifact
    if info in libraries.whole:
        return ["-Wl,--whole-archive", path, "-Wl,--no-whole-archive"]
    return [path]


def _shared(infos: Iterable[CxxInfo], inputs: Files) -> list[str]:
    """By `-l:name`: a library that says no name of itself is then loaded by that of its file."""
    words = []
    for name, artifact in [info.library for info in infos if info.library]:
        path = f"{_FOLDER}/{name}"
        if inputs.setdefault(path, artifact) is artifact:
            words.append(f"-l:{name}")
        else:  # of the same name as another; it cannot be loaded together with that, but linked
            path = f"{_FOLDER}/{len(inputs)}/{name}"
            inputs[path] = artifact
            words.append(path)
    return words


def check_names(libraries: Libraries) -> None:
    """Raises RuleFault where two libraries that are loaded by name have the same."""
    known: dict[str, Artifact] = {}
    for info in libraries.shared:
        assert info.library is not None
        name, artifact = info.library
        if known.setdefault(name, artifact) != artifact:
            raise RuleFault(
                f"two of the libraries below it are called `{name}`",
                hint="give one of them another `soname`",
            )


def _carried(libraries: Libraries, infos: Iterable[CxxInfo], inputs: Files) -> list[str]:
    """The linker flags of the libraries, and the files that these name as inputs."""
    taken = {*libraries.archives, *libraries.late}
    words: list[str] = []
    for info in linked_closure(infos):
        words += info.linker_flags
        if info in taken:
            words += info.archive_flags
        inputs.update(info.linker_inputs)
    return words


def runpath(folder: str) -> str:
    """The RUNPATH of a file in a folder of the package root."""
    up = "../" * (folder.count("/") + 1) if folder else ""
    return "$ORIGIN" if folder == LIBRARIES else f"$ORIGIN/{up}{LIBRARIES}"


def soname(ctx: Context) -> str:
    """`lib<path>_<name>.so`; no link takes two that read alike, as `//a/b:c` and `//a:b_c` do."""
    if given := ctx.text("soname"):
        return given.replace("$(ext)", "so")
    path = ctx.folder.replace("/", "_")
    name = ctx.label.name.replace("/", "_")
    return f"lib{path}_{name}.so" if path else f"lib{name}.so"
