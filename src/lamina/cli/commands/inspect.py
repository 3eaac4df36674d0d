"""`lamina inspect`: what a package, or another image, consists of."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
from collections.abc import Callable, Container
from typing import TYPE_CHECKING

from lamina.cli import arguments, output, repositories
from lamina.core import reference
from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError
from lamina.formats import oci

if TYPE_CHECKING:
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
    from lamina.node import carried

    args.carried = carried.taken(os.environ)
    wanted = reference.parse(args.reference)
    here = _AtHand(args) if args.missing else None
    came = here.came if here is not None else {}
    with contextlib.closing(repositories.Late(wanted, args)) as late:

        def tell() -> int:
            known = here.find(wanted.digest) if here is not None else None
            data = late().manifest(wanted.wanted).data if known is None else known
            read = repositories.reader(late, data, here or (lambda _digest: None))
            return _tell(args, Digest.of(data), data, lambda: oci.decode_package(data, read), came)

        return repositories.patiently(args, tell)


class _AtHand:
    """Documents of a package that no registry need be asked for: of a job, or of the store."""

    def __init__(self, args: argparse.Namespace) -> None:
        from lamina.store import local

        self.came = repositories.at_hand(args)
        self._store = local.LocalStore(local.default_folder())

    def find(self, name: str) -> bytes | None:
        """What has a digest, `sha256:…`, if that is at hand; nothing for no digest."""
        hexadecimal = name.removeprefix("sha256:")
        if not hexadecimal:
            return None
        came = (data for digest, data in self.came.items() if digest.hash == hexadecimal)
        known = self._store.find(hexadecimal)
        return next(came, None) or (self(known) if known is not None else None)

    def __call__(self, digest: Digest) -> bytes | None:
        if digest in self.came:
            return self.came[digest]
        with contextlib.suppress(IntegrityError):  # what is damaged is asked for
            return self._store.read(digest)
        return None


def _tell(
    args: argparse.Namespace,
    digest: Digest,
    data: bytes,
    read: Callable[[], Package],
    came: Container[Digest] = (),
) -> int:
    if args.raw:
        output.data(data.decode(errors="replace"))
        return 0
    if not oci.is_package(data):
        return _tell_other(args, digest, data)
    package = read()
    if args.missing:
        return _tell_missing(args, package, came)
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


def _tell_missing(args: argparse.Namespace, package: Package, came: Container[Digest]) -> int:
    from lamina.store import local

    store = local.LocalStore(local.default_folder())
    lacking = store.missing(layer.blob for layer in package.layers)
    missing = [each for each in lacking if each not in came]
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
