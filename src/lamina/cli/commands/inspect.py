"""`lamina inspect`: what a package, or another image, consists of."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from lamina.cli import arguments, output, repositories
from lamina.core import reference
from lamina.formats import oci

if TYPE_CHECKING:
    from lamina.core.digest import Digest
    from lamina.core.manifest import Package


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "reference",
        metavar="REF",
        help="a package of the store, or a reference as of `lamina pull`",
    )
    parser.add_argument(
        "--missing", action="store_true", help="tell how many bytes of it are not on this machine"
    )
    parser.add_argument("--raw", action="store_true", help="print the manifest as it is")
    repositories.add_access(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print what the manifest tells; no layer is fetched."""
    if not reference.is_remote(args.reference):
        from lamina.store import local, packages

        store = local.LocalStore(local.default_folder())
        digest = packages.resolve(args.reference, store)
        data = store.read(digest)
        return _tell(args, digest, data, lambda: oci.decode_package(data, store.read))
    wanted = reference.parse(args.reference)
    with repositories.opened(wanted, args) as repository:
        manifest = repository.manifest(wanted.wanted)
        read = repositories.reader(repository, manifest.data)
        return _tell(
            args, manifest.digest, manifest.data, lambda: oci.decode_package(manifest.data, read)
        )


def _tell(
    args: argparse.Namespace, digest: Digest, data: bytes, read: Callable[[], Package]
) -> int:
    if args.raw:
        output.data(data.decode(errors="replace"))
        return 0
    if not oci.is_package(data):
        return _tell_other(args, digest, data)
    package = read()
    if args.missing:
        return _tell_missing(args, package)
    if args.json:
        output.document(_fields(package, digest))
        return 0
    rows = [
        ("name", package.name),
        ("version", package.version),
        ("digest", digest.oci),
        ("target", package.label),
        ("commit", package.commit or "none"),
        ("starts", " ".join(package.entry_point) or "nothing"),
        ("base", package.base or "none"),
        ("size", f"{output.size(package.size)} in {output.plural(len(package.layers), 'layer')}"),
    ]
    for name, value in rows:
        output.data(f"{name:8} {value}")
    output.data("")
    output.table(
        ("layer", "files", "size", "digest"),
        [
            (layer.name, str(layer.files), output.size(layer.blob.size), layer.blob.short)
            for layer in reversed(package.layers)
        ],
        right=(1, 2),
    )
    return 0


def _tell_missing(args: argparse.Namespace, package: Package) -> int:
    from lamina.store import local

    store = local.LocalStore(local.default_folder())
    missing = store.missing(layer.blob for layer in package.layers)
    size = sum(each.size for each in missing)
    if args.json:
        output.document({"missing": size, "layers": len(missing), "size": package.size})
    else:
        output.data(f"{output.size(size)} in {output.plural(len(missing), 'layer')}")
    return 0


def _tell_other(args: argparse.Namespace, digest: Digest, data: bytes) -> int:
    children = oci.children(data)
    if args.json:
        named = [
            {"mediaType": kind, "digest": child.oci, "size": child.size} for kind, child in children
        ]
        document = json.loads(data)
        kind = document.get("artifactType") or oci.media_type(data)
        output.document({"digest": digest.oci, "type": kind, "blobs": named})
        return 0
    output.data(f"digest   {digest.oci}")
    output.data(f"type     {oci.media_type(data)}")
    output.data("")
    rows = [(kind, output.size(child.size), child.short) for kind, child in children]
    output.table(("blob", "size", "digest"), rows, right=(1,))
    return 0


def _fields(package: Package, digest: Digest) -> dict[str, object]:
    return {
        "name": package.name,
        "version": package.version,
        "digest": digest.oci,
        "label": package.label,
        "commit": package.commit,
        "dirty": package.dirty,
        "entry_point": list(package.entry_point),
        "environment": dict(package.environment),
        "base": package.base,
        "size": package.size,
        "layers": [
            {
                "labels": list(layer.held),
                "files": layer.files,
                "size": layer.blob.size,
                "digest": layer.blob.oci,
                "tree": layer.tree.oci,
            }
            for layer in package.layers
        ],
    }
