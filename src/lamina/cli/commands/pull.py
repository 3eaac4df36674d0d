"""`lamina pull`: bring a package from a registry into the store of this machine."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from lamina.cli import arguments, output, repositories
from lamina.core import reference

if TYPE_CHECKING:
    from lamina.core.digest import Digest
    from lamina.core.manifest import Package
    from lamina.store.local import LocalStore


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "reference", metavar="REF",
        help="`host/repository:tag`, `host/repository@sha256:<digest>`, `oci:FOLDER[:tag]`, or a "
        "file, `oci-archive:FILE`",
    )  # fmt: skip
    parser.add_argument(
        "--signatures", action="store_true",
        help="bring its signatures too, as is done anyhow where a policy is in force",
    )  # fmt: skip
    arguments.add_unpack(parser)
    repositories.add_access(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Pull, and print what the package is called here."""
    from lamina.node import find
    from lamina.store import local, packages

    wanted = reference.parse(args.reference)
    store = local.LocalStore(local.default_folder())
    try:
        found = repositories.pull(wanted, store, args)
        find.remember(wanted, found.digest, store)
        package = packages.read(found.digest, store)
        unpacked = _unpacked(package, found.digest, store) if args.unpack else 0
    finally:
        store.close()
    if not args.json:
        output.data(found.name)
        return 0
    output.document(
        {
            "name": package.name,
            "version": package.version,
            "digest": found.digest.oci,
            "blobs": found.blobs,
            "bytes": found.size,
            "layers": found.layers,
            "unpacked": unpacked,
        }
    )
    return 0


def _unpacked(package: Package, digest: Digest, store: LocalStore) -> int:
    """How many layers are unpacked now."""
    from lamina.node import laid, remember
    from lamina.store import leases, packages

    with leases.leased_package(store.folder, digest):
        images = packages.images(package, store)
        count = laid.lay_out_all(images, store.folder, package.base_layers)
    remember.renew(store)
    return count
