"""Rules that write and copy files; `@bazel_skylib//rules` are made of them."""

from __future__ import annotations

from collections.abc import Iterable

from lamina.build.analysis import Context, RuleFault
from lamina.build.attributes import Attribute, Kind
from lamina.build.providers import Analysed
from lamina.build.rule import Rule
from lamina.core.action import OUTPUT_FOLDER, Artifact, Literal

_NEWLINES = {"auto": "\n", "unix": "\n", "windows": "\r\n"}
_LINES = ".lamina-lines"


def write_file(ctx: Context) -> Analysed:
    """`write_file`: a file of the lines that the BUILD file has for it."""
    newline = _NEWLINES.get(ctx.text("newline"))
    if newline is None:
        raise RuleFault(
            f"`newline` is `auto`, `unix` or `windows`, not `{ctx.text('newline')}`",
            attribute="newline",
        )
    data = newline.join(ctx.texts("content")).encode()
    return _copied(ctx, "WriteFile", _LINES, Literal(data, ctx.flag("is_executable")))


def copy_file(ctx: Context) -> Analysed:
    """`copy_file`: a file under another name."""
    source = ctx.source("src")
    if source is None:
        raise RuleFault("it has no `src`", attribute="src")
    return _copied(ctx, "CopyFile", source.full, source.artifact)


def _copied(ctx: Context, mnemonic: str, path: str, artifact: Artifact) -> Analysed:
    output = ctx.in_package(ctx.text("out"))
    action = ctx.action(
        mnemonic,
        [
            "/bin/sh",
            "-c",
            _command(ctx.flag("is_executable")),
            "-",
            path,
            f"{OUTPUT_FOLDER}/{output}",
        ],
        {path: artifact},
        [output],
        subject=output,
    )
    return Analysed(ctx.label, files=((output, action.output(output)),))


def _command(executable: bool) -> str:
    copy = 'cp -RL -- "$1" "$2"'
    return f'{copy} && chmod +x "$2"' if executable else copy


def _attributes(more: Iterable[tuple[str, Attribute]]) -> dict[str, Attribute]:
    return {
        "out": Attribute(Kind.STRING, required=True, doc="the file to make"),
        "is_executable": Attribute(Kind.BOOLEAN, doc="make it executable"),
        "allow_symlink": Attribute(Kind.ANY),
        **dict(more),
    }


RULES = (
    Rule(
        "write_file",
        _attributes(
            {
                "content": Attribute(Kind.STRING_LIST, doc="its lines, without their ends"),
                "newline": Attribute(Kind.STRING, "auto", doc="`auto`, `unix` or `windows`"),
            }.items()
        ),
        write_file,
        doc="A file of some lines.",
    ),
    Rule(
        "copy_file",
        _attributes({"src": Attribute(Kind.SOURCE, required=True, doc="the file")}.items()),
        copy_file,
        doc="A file under another name.",
    ),
    Rule(
        "copy_directory",
        _attributes({"src": Attribute(Kind.SOURCE, required=True, doc="the folder")}.items()),
        copy_file,
        doc="A folder under another name.",
    ),
)
