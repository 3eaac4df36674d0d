"""`lamina package`: make a target's layers and the manifest that lists them."""

from __future__ import annotations

import argparse

from lamina.cli import arguments, output, pipeline
from lamina.cli.pipeline import Packaged
from lamina.cli.session import Session


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    arguments.add_target(parser)
    arguments.add_build(parser)
    arguments.add_grouping(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Package, and print the layers, the top one last."""
    with Session(arguments.options(args)) as session:
        made = pipeline.package(session, args.target)
    if args.json:
        output.document(_document(made))
        return 0
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
    if not args.quiet:
        output.note(made.summary())
    return 0


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
