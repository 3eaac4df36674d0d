"""`lamina sbom`: tell which code of others is in the package of a target."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.cli import arguments, output, pipeline
from lamina.cli.session import Session
from lamina.core.errors import UserError

if TYPE_CHECKING:
    from lamina.build.providers import Analysed, Origin
    from lamina.core.label import Label
    from lamina.core.manifest import Package
    from lamina.core.tree import Node
    from lamina.packaging.sbom import Bill, Component

_FORMATS = ("spdx", "cyclonedx")


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    arguments.add_target(parser)
    parser.add_argument(
        "--format", default="spdx", metavar="|".join(_FORMATS), help="the form of the document"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="where it goes (default: stdout)"
    )
    arguments.add_build(parser)


def run(args: argparse.Namespace) -> int:
    """Package, and write the bill of materials."""
    from lamina.packaging import sbom

    if args.format not in _FORMATS:
        raise UserError(
            f"no bill of materials has the format `{args.format}`",
            hint=f"one of {', '.join(f'`{each}`' for each in _FORMATS)}",
        )
    with Session(arguments.options(args)) as session:
        # The layers of a base image are read as they were.
        made = pipeline.package(session, args.target, pipeline.Order(files=pipeline.every_own))
        bill = _bill(session, args.target, made)
        text = sbom.write(bill, args.format)
    if args.output is None:
        output.data(text.rstrip("\n"))
        return 0
    from lamina.linux import filesystem

    filesystem.write_atomic(args.output.absolute(), text.encode())
    if not args.quiet:
        count = output.plural(len(bill.components), "component")
        output.note(f"`{args.output}` written: {count}")
    return 0


def _bill(session: Session, target: str, made: pipeline.Packaged) -> Bill:
    from lamina.build import origins
    from lamina.packaging.sbom import Bill

    label = session.label(target)
    analysed = session.analyse([label])
    loader = session.loader
    targets = loader.closure([label])
    found = origins.origins(label, targets, analysed, loader.cells, loader.generated)
    released = [each for each in found.found if analysed[each].own]
    trees = _trees(session, [analysed[each] for each in released])
    package = made.package
    below = _below(session, package)
    return Bill(
        package.name,
        package.version,
        made.digest.hash,
        str(label),
        (*map(str, found.needs[label]), *(each.label for each in below[:1])),
        (
            *(
                _component(session, each, origin, trees.get(each, {}), found.needs[each])
                for each, origin in found.found.items()
            ),
            *below,
        ),
    )


def _below(session: Session, package: Package) -> list[Component]:
    """The base image of a package, and what is installed in it."""
    if not package.base_layers:
        return []
    from lamina.packaging import installed

    return installed.components(package.base, package.image, session.store)


def _trees(session: Session, targets: list[Analysed]) -> dict[Label, dict[str, Node]]:
    """The own files of some targets, by path in the package root."""
    from lamina.core.tree import place

    built = session.engine.build(file for each in targets for file in each.own.values())
    return {
        each.label: {
            inner: node
            for path, file in each.own.items()
            for inner, node in place(path, built[file]).items()
        }
        for each in targets
    }


def _component(
    session: Session,
    label: Label,
    origin: Origin,
    tree: Mapping[str, Node],
    needs: tuple[Label, ...],
) -> Component:
    from lamina.packaging.sbom import Component

    told = _metadata(session, tree)
    return Component(
        str(label),
        origin.name,
        origin.version,
        origin.ecosystem,
        origin.address,
        origin.sha256 or _digest(session, origin),
        _licence(told),
        told.get("summary", [""])[0],
        _homepage(told),
        tuple(map(str, needs)),
    )


def _digest(session: Session, origin: Origin) -> str:
    """That of an archive in the workspace."""
    from lamina.core.tree import File

    if origin.file is None:
        return ""
    node = session.engine.build([origin.file])[origin.file][""]
    return node.digest.hash if isinstance(node, File) else ""


Told = Mapping[str, list[str]]


def _metadata(session: Session, tree: Mapping[str, Node]) -> Told:
    """The fields of a distribution's METADATA, by their names in lower case."""
    from email.parser import BytesHeaderParser

    from lamina.core.tree import File

    for path, node in tree.items():
        if path.endswith(".dist-info/METADATA") and isinstance(node, File):
            message = BytesHeaderParser().parsebytes(session.store.read(node.digest))
            told: dict[str, list[str]] = {}
            for name, value in message.items():
                told.setdefault(name.lower(), []).append(str(value))
            return told
    return {}


def _licence(told: Told) -> str:
    """What a distribution says of its licence: an expression, a word, or by its classifiers."""
    for name in ("license-expression", "license"):
        text = " ".join(told.get(name, [""])[0].split())
        if text and len(text) < 100 and text.upper() != "UNKNOWN":  # not the whole licence
            return text
    prefix = "License :: "
    marks = [mark for mark in told.get("classifier", []) if mark.startswith(prefix)]
    return ", ".join(sorted({mark.rpartition(" :: ")[2] for mark in marks}))


def _homepage(told: Told) -> str:
    links = [link.partition(",") for link in told.get("project-url", [])]
    named = {name.strip().lower(): url.strip() for name, _, url in links}
    known = [
        *told.get("home-page", []),
        *(named.get(n, "") for n in ("homepage", "home", "source")),
    ]
    return next((url for url in known if url.startswith("http")), "")
