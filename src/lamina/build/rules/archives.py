"""Archives, unpacked and perhaps patched: the sources of others, as a folder."""

from __future__ import annotations

import re
import shlex

from lamina.build import builtins
from lamina.build.analysis import Context, RuleFault
from lamina.build.attributes import Attribute, Kind
from lamina.build.providers import Analysed, Origin
from lamina.build.rule import Rule
from lamina.build.rules import downloads
from lamina.core.action import OUTPUT_FOLDER, Artifact, Output
from lamina.core.classes import dataclass, replace
from lamina.core.errors import IntegrityError
from lamina.core.tree import check_path
from lamina.linux import process

_ARCHIVE = ".lamina-archive"  # before the name of what is fetched, which is no output of its own


@dataclass(frozen=True, slots=True)
class _Patches:
    """What is changed in a folder after it was unpacked."""

    files: tuple[tuple[str, Artifact], ...]
    arguments: tuple[str, ...] | None  # of `patch`; None where it is to find out itself
    commands: tuple[str, ...]

    def script(self, source: str, target: str) -> str:
        """The shell commands that copy a folder, and change the copy."""
        up = "../" * (target.count("/") + 1)
        lines = [
            f"mkdir -p -- {shlex.quote(target)}",
            f"cp -RPp -- {shlex.quote(source)}/. {shlex.quote(target)}",
            f"chmod -R u+w {shlex.quote(target)}",
            f"cd {shlex.quote(target)}",
            *(self._apply(path, up + path) for path, _ in self.files),
            *self.commands,
        ]
        return "\n".join(("set -eu", *lines))

    def _apply(self, path: str, file: str) -> str:
        """The command that applies one patch.

        Without arguments it is tried whether the names in it start with a folder to take away, as
        those that git writes do.
        """
        command = "patch --force --silent --no-backup-if-mismatch --reject-file=-"
        file, name = shlex.quote(file), shlex.quote(path)
        if self.arguments is not None:
            words = shlex.join(self.arguments)
            return f"{command} {words} <{file} || {{ echo {name} does not fit >&2; exit 1; }}"
        return (
            f"if {command} --dry-run -p1 <{file} >/dev/null 2>&1; then {command} -p1 <{file}\n"
            f"else {command} -p0 <{file} || {{ echo {name} does not fit >&2; exit 1; }}; fi"
        )


def http_archive(ctx: Context) -> Analysed:
    """`http_archive`: an archive that is fetched."""
    wanted = downloads.wanted_file(ctx)
    name = f"{_ARCHIVE}-{downloads.file_name(wanted.urls[0])}"
    path = ctx.in_package(name)
    unpacked = _unpacked(ctx, (path, downloads.fetched(ctx, wanted, path)))
    origin = Origin(ctx.label.name, address=wanted.urls[0], sha256=wanted.sha256)
    return replace(unpacked, origin=origin)


def local_archive(ctx: Context) -> Analysed:
    """`local_archive`: an archive that is a file of the workspace, or an output."""
    source = ctx.source("src")
    if source is None:
        raise RuleFault("it has no `src`", attribute="src")
    unpacked = _unpacked(ctx, (source.full, source.artifact))
    return replace(unpacked, origin=Origin(ctx.label.name, file=source.artifact))


def _unpacked(ctx: Context, archive: tuple[str, Artifact]) -> Analysed:
    from lamina.store.unpack import Unpacking  # the decoders of archives are dear

    _check_no_build_file(ctx)
    folder = ctx.in_package(ctx.text("out") or ctx.label.name)
    wanted = [_inner(path) for _, path in ctx.pairs("sub_targets")]
    owner = str(ctx.label)
    how = Unpacking(_type(ctx), _prefix(ctx), _excludes(ctx))
    patches = _patches(ctx)
    if patches is None:
        made = builtins.unpack(owner, archive, how, folder, wanted)
        return Analysed(ctx.label, files=((folder, made.output(folder)),))
    made = builtins.unpack(owner, archive, how, folder, ())
    output = _patched(ctx, patches, made.output(folder), wanted)
    return Analysed(ctx.label, files=((folder, output),))


def _patched(ctx: Context, patches: _Patches, source: Output, wanted: list[str]) -> Output:
    process.require("patch")
    folder = source.path
    target = f"{OUTPUT_FOLDER}/{folder}"
    action = ctx.action(
        "Patch",
        ["/bin/bash", "-c", patches.script(folder, target)],
        {folder: source, **dict(patches.files)},
        [folder, *(f"{folder}/{path}" for path in wanted)],
        subject=folder,
    )
    return action.output(folder)


def _patches(ctx: Context) -> _Patches | None:
    files = tuple((source.full, source.artifact) for source in ctx.sources("patches"))
    commands = ctx.texts("patch_cmds")
    if not files and not commands:
        return None
    arguments = ctx.texts("patch_args") if ctx.given("patch_args") else None
    if ctx.given("patch_strip"):
        arguments = (f"-p{ctx.number('patch_strip')}", *(arguments or ()))
    return _Patches(files, arguments, commands)


def _type(ctx: Context) -> str:
    from lamina.formats.archive import TYPES

    name = ctx.text("type")
    if name and name not in TYPES:
        known = ", ".join(f"`{each}`" for each in TYPES)
        raise RuleFault(f"no type of archives: `{name}`", hint=f"known: {known}", attribute="type")
    return name


def _prefix(ctx: Context) -> str:
    from lamina.formats.archive import clean

    try:
        return clean(ctx.text("strip_prefix"))
    except IntegrityError:
        raise RuleFault(
            f"`strip_prefix` is no folder in an archive: `{ctx.text('strip_prefix')}`",
            attribute="strip_prefix",
        ) from None


def _excludes(ctx: Context) -> tuple[str, ...]:
    for pattern in ctx.texts("excludes"):
        try:
            re.compile(pattern)
        except re.error as error:
            raise RuleFault(
                f"`{pattern}` in `excludes` is no regular expression: {error}",
                attribute="excludes",
            ) from error
    return ctx.texts("excludes")


def _inner(path: str) -> str:
    try:
        return check_path(path)
    except IntegrityError:
        raise RuleFault(
            f"`{path}` in `sub_targets` is no path in the archive", attribute="sub_targets"
        ) from None


def _check_no_build_file(ctx: Context) -> None:
    for name in ("build_file", "build_file_content"):
        if ctx.text(name):
            raise RuleFault(
                f"a target has no BUILD file of its own, as `{name}` wants",
                hint="make it a cell, by `[cells]` in `lamina.toml`:"
                f' `{ctx.label.name} = {{ url = "…", sha256 = "…", build_file = "…" }}`',
                attribute=name,
            )


_UNPACKING = {
    "strip_prefix": Attribute(
        Kind.STRING, doc="folder in the archive that is taken for its root; the rest is left out"
    ),
    "type": Attribute(
        Kind.STRING, doc="`tar`, `tar.gz`, `tar.bz2`, `tar.xz`, `tar.zst`, `zip`; seen by itself"
    ),
    "excludes": Attribute(
        Kind.STRING_LIST, doc="regular expressions; what they match from its start is left out"
    ),
    "sub_targets": Attribute(
        Kind.OUTPUTS, doc="files and folders in it that are `:target[path]`, or by a name"
    ),
    "out": Attribute(Kind.STRING, doc="what the folder is called; by default like the target"),
    "patches": Attribute(Kind.SOURCES, doc="patches, applied in this order"),
    "patch_args": Attribute(
        Kind.STRING_LIST, doc="arguments of `patch`; without them `-p1` or `-p0`, as it fits"
    ),
    "patch_strip": Attribute(Kind.INTEGER, doc="`-p` of `patch`, as a number"),
    "patch_cmds": Attribute(Kind.STRING_LIST, doc="commands for bash after that, in the folder"),
    "build_file": Attribute(Kind.STRING, doc="only for cells"),
    "build_file_content": Attribute(Kind.STRING, doc="only for cells"),
    "patch_tool": Attribute(Kind.ANY),
}

RULES = (
    Rule(
        "http_archive",
        {**downloads.FETCHING, **_UNPACKING},
        http_archive,
        doc="A folder: an archive that is fetched, known by its digest, and unpacked.",
    ),
    Rule(
        "local_archive",
        {
            "src": Attribute(Kind.SOURCE, required=True, doc="the archive"),
            **_UNPACKING,
        },
        local_archive,
        doc="A folder: an archive of the workspace, or one that a target makes, unpacked.",
    ),
)
