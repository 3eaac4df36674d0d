"""`lamina push`: send a package to a registry, or into a folder in OCI image layout."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.cli import arguments, output, repositories
from lamina.core import reference
from lamina.core.classes import replace
from lamina.core.errors import UserError
from lamina.core.reference import Reference

if TYPE_CHECKING:
    from lamina.core.digest import Digest
    from lamina.core.manifest import Package
    from lamina.packaging.publish import Pushed
    from lamina.store.local import LocalStore


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "what", metavar="TARGET|PACKAGE",
        help="a target, which is packaged, or a package of the store",
    )  # fmt: skip
    arguments.complete_labels(parser)
    parser.add_argument(
        "reference", metavar="REF",
        help="`host/repository[:tag]` or `oci:FOLDER[:tag]`; the tag is the version by default",
    )  # fmt: skip
    parser.add_argument("--version", default="", metavar="VERSION", help="in place of the commit")
    parser.add_argument(
        "--format", choices=("layers", "oci"), default="layers",
        help="`oci` sends the target as an image that Docker and Kubernetes run",
    )  # fmt: skip
    parser.add_argument(
        "--base", type=Path, metavar="PATH",
        help="an image to put the image on: a folder in OCI layout, or an archive",
    )  # fmt: skip
    repositories.add_access(parser)
    arguments.add_build(parser)
    arguments.add_grouping(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Push, and print the reference by digest."""
    wanted = reference.parse(args.reference)
    if wanted.digest:
        raise UserError(
            f"`{wanted}` names a digest, but what is pushed has its own",
            hint=f"`{replace(wanted, digest='')}`",
        )
    if args.base is not None and args.format != "oci":
        raise UserError("`--base` is for images", hint="with `--format oci`")
    if arguments.is_label(args.what):
        from lamina.cli import pipeline
        from lamina.cli.session import Session

        if args.format == "oci":
            return _push_image(args, wanted)
        with Session(arguments.options(args)) as session:

            def send(made: pipeline.Packaged) -> int:
                output.note(made.summary())
                return _push(args, wanted, made.digest, made.package, session.store)

            return pipeline.sent(session, args.what, pipeline.Order(version=args.version), send)[1]
    if args.format == "oci":
        raise UserError("an image is made of a target, not of a package", hint="give its label")
    from lamina.store import local, packages

    store = local.LocalStore(local.default_folder())
    digest = packages.resolve(args.what, store)
    return _push(args, wanted, digest, packages.read(digest, store), store)


def _push_image(args: argparse.Namespace, wanted: Reference) -> int:
    """Send what the repository lacks of an image, from the store."""
    from lamina.cli import forms, imaging, pipeline
    from lamina.cli.moving import Progress
    from lamina.cli.session import Session
    from lamina.packaging.forms import wish

    form = wish(args.format, "", None, 0)
    with Session(arguments.options(args)) as session:
        base = forms.base_at(session, args.base)
        files = forms.files(session, form, base)
        order = pipeline.Order(form=form.layers, files=files, version=args.version)
        made = pipeline.package(session, args.what, order)
        output.note(made.summary())
        image = forms.image(session, made.package, form, base)
        found = replace(wanted, tag=wanted.tag or made.package.version)
        with repositories.opened(wanted, args) as repository, Progress("pushing") as progress:
            done = imaging.send(session, image, repository, found.tag, progress)
    found = replace(found, digest=done.digest.oci)
    if args.json:
        output.document(
            {
                "reference": str(found),
                "digest": found.digest,
                "blobs": done.blobs,
                "bytes": done.size,
            }
        )
        return 0
    output.note(
        f"pushed {output.plural(done.blobs, 'blob')}, {output.size(done.size)}; "
        f"{output.duration(progress.seconds)}"
    )
    output.data(str(found))
    return 0


def _push(
    args: argparse.Namespace, wanted: Reference, digest: Digest, package: Package, store: LocalStore
) -> int:
    from lamina.cli.moving import Progress
    from lamina.packaging import publish

    tag = wanted.tag or package.version
    names = {layer.blob: layer.name for layer in package.layers}
    with repositories.opened(wanted, args) as repository, Progress("pushing", names) as progress:
        sent = publish.push(
            digest, store, repository, tag, planned=progress.planned, moved=progress.moved
        )
    found = replace(wanted, tag=tag, digest=digest.oci)
    if args.json:
        output.document(_fields(found, sent))
        return 0
    signed = f", {output.plural(sent.signatures, 'signature')}" if sent.signatures else ""
    output.note(
        f"pushed {sent.layers} of {output.plural(len(package.layers), 'layer')}, "
        f"{output.size(sent.size)}{signed}; {output.duration(progress.seconds)}"
    )
    output.data(str(found))
    return 0


def _fields(found: Reference, sent: Pushed) -> dict[str, object]:
    return {
        "reference": str(found),
        "digest": sent.digest.oci,
        "blobs": sent.blobs,
        "bytes": sent.size,
        "layers": sent.layers,
        "manifests": sent.manifests,
        "signatures": sent.signatures,
    }
