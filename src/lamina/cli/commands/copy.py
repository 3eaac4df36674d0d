"""`lamina copy`: a package or any image, from one repository to another."""

from __future__ import annotations

import argparse

from lamina.cli import arguments, output, repositories
from lamina.core import reference
from lamina.core.classes import replace
from lamina.core.errors import UserError

_FORMS = "`host/repository:tag`, `host/repository@sha256:<digest>` or `oci:FOLDER[:tag]`"


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("source", metavar="FROM", help=_FORMS)
    parser.add_argument("target", metavar="TO", help="the same; the tag is the one of FROM")
    repositories.add_access(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Copy, and print the reference by digest."""
    from lamina.cli.moving import Progress
    from lamina.store import local, replicate

    source, target = reference.parse(args.source), reference.parse(args.target)
    if target.digest:
        raise UserError(
            f"`{target}` names a digest, but a copy has that of what is copied",
            hint=f"`{replace(target, digest='')}`",
        )
    tag = target.tag or source.tag
    store = local.LocalStore(local.default_folder())
    with (
        repositories.opened(source, args) as there,
        repositories.opened(target, args) as here,
        Progress("copying") as progress,
    ):
        done = replicate.copy(
            there, here, store, tag=tag, planned=progress.planned, moved=progress.moved
        )
    store.close()
    found = replace(target, tag=tag, digest=done.digest.oci)
    if args.json:
        output.document({"reference": str(found), "blobs": done.blobs, "bytes": done.size})
        return 0
    output.note(
        f"copied {output.plural(done.blobs, 'blob')}, {output.size(done.size)}; "
        f"{output.duration(progress.seconds)}"
    )
    output.data(str(found))
    return 0
