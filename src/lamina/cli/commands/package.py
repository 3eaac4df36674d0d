"""`lamina package`: make a target's layers and the manifest that lists them, or another form."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.cli import arguments, output, pipeline
from lamina.cli.pipeline import Packaged
from lamina.cli.session import Session
from lamina.core.errors import UserError

if TYPE_CHECKING:
    from lamina.core.manifest import Package
    from lamina.packaging.forms import Wish

_FORMS = ("layers", "tar.gz", "tar.zst", "zip", "xar", "oci", "oci-archive", "docker", "dir")


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    arguments.add_target(parser)
    parser.add_argument(
        "--format", metavar="|".join(_FORMS), default="",
        help="the form to write, `layers` if it is not said",
    )  # fmt: skip
    arguments.complete(parser, _FORMS)
    parser.add_argument(
        "-o", "--out", "--output", dest="output", type=Path, metavar="FOLDER",
        help="where to write it (default: `lamina-out`; layers only stay in the store)",
    )  # fmt: skip
    parser.add_argument("--version", default="", metavar="VERSION", help="in place of the commit")
    parser.add_argument(
        "--compression", default="", metavar="zstd|lz4|gzip|xz|none",
        help="of layers, of a XAR, of the layers of an image",
    )  # fmt: skip
    arguments.complete(parser, ("zstd", "lz4", "gzip", "xz", "none"))
    parser.add_argument("--level", type=_number, metavar="N", help="level of the compression")
    parser.add_argument(
        "--block-size", type=_number, default=0, metavar="BYTES",
        help="how much of a layer is compressed at once",
    )  # fmt: skip
    parser.add_argument(
        "--base", type=Path, metavar="PATH",
        help="an image to put the image on, in place of the package's own: a folder or an archive",
    )  # fmt: skip
    arguments.add_build(parser)
    arguments.add_grouping(parser)
    arguments.add_json(parser)


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise UserError(f"`--level` and `--block-size` take a number, not `{text}`")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Package, and print the layers, the top one last, or where the other form lies."""
    if not (args.format or args.output or args.compression or args.level or args.block_size):
        if args.base is not None:
            raise _no_base_for("layers")
        with Session(arguments.options(args)) as session:
            made = pipeline.package(session, args.target, pipeline.Order(version=args.version))
        return _tell(args, made, None)
    from lamina.packaging import forms

    wish = forms.wish(args.format or forms.LAYERS, args.compression, args.level, args.block_size)
    if args.base is not None and not wish.form.image:
        raise _no_base_for(wish.form.name)
    with Session(arguments.options(args)) as session:
        made, where = _write(session, args, wish)
    return _tell(args, made, where)


def _no_base_for(name: str) -> UserError:
    return UserError(
        f"the form `{name}` lies on no base image", hint="`--base` goes with `--format oci`"
    )


def _write(session: Session, args: argparse.Namespace, wish: Wish) -> tuple[Packaged, Path | None]:
    """Make the package, and what is wished for of it."""
    from lamina.cli import forms, publish

    stored = wish.form.name == "layers"
    base = forms.base_at(session, args.base)
    files = None if stored else forms.files(session, wish, base)
    order = pipeline.Order(form=wish.layers, files=files, version=args.version)
    made = pipeline.package(session, args.target, order)
    if stored and args.output is None:
        return made, None
    folder = args.output or session.root / publish.FOLDER
    if args.output is None:
        publish.make_folder(folder)
    with session.phase(f"writing {wish.form.name}"):
        where = forms.write(session, made.package, wish, folder, base)
    based = base is not None or made.package.base_layers
    if wish.form.image and not based and not args.quiet:
        output.note(f"{_lacks(made.package)}: `--base` puts it on an image")
    return made, where


def _lacks(package: Package) -> str:
    """What an image misses that is on none."""
    if package.program:
        return "this image holds no C library, and so runs static programs alone"
    needs = " and ".join(filter(None, ("`/bin/sh`", package.interpreter)))
    return f"this image holds no {needs}"


def _tell(args: argparse.Namespace, made: Packaged, where: Path | None) -> int:
    if args.json:
        document = _document(made)
        output.document(document if where is None else {**document, "path": str(where)})
        return 0
    if where is not None:
        output.data(str(where))
    else:
        _tell_layers(made)
    if not args.quiet:
        output.note(made.summary())
    return 0


def _tell_layers(made: Packaged) -> None:
    output.table(
        ("layer", "size", "files", "tree", ""),
        [
            (
                layer.name,
                output.size(layer.blob.size),
                str(layer.files),
                layer.tree.short,
                "made" if layer.label in made.made else "reused",
            )
            for layer in made.package.layers
        ],
        right=(1, 2),
    )
    output.data(f"{made.package.name}:{made.package.version}")
    output.data(f"{made.package.name}@{made.digest.oci}")


def _document(made: Packaged) -> dict[str, object]:
    found = made.package
    return {
        "name": found.name,
        "version": found.version,
        "digest": made.digest.oci,
        "label": found.label,
        "entry_point": list(found.entry_point),
        "layers": [
            {
                "label": layer.label,
                "labels": list(layer.held),
                "title": layer.title,
                "digest": layer.blob.oci,
                "size": layer.blob.size,
                "tree": layer.tree.oci,
                "files": layer.files,
                "content_size": layer.content_size,
                "made": layer.label in made.made,
            }
            for layer in found.layers
        ],
    }
