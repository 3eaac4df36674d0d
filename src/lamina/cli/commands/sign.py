"""`lamina sign`: sign a package of the store or of a registry; make keys."""

from __future__ import annotations

import argparse
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.cli import arguments, output, repositories
from lamina.core import reference
from lamina.core.errors import UserError

if TYPE_CHECKING:
    from lamina.core.digest import Digest
    from lamina.core.manifest import Package
    from lamina.store.trust.signatures import Signed

_BUILDER = "urn:lamina:cli"


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "reference", metavar="PACKAGE|REF", nargs="?",
        help="a package of the store, whose signatures `lamina push` sends along; "
        "or a reference as of `lamina pull`, beside which the signature is put",
    )  # fmt: skip
    parser.add_argument("--key", type=Path, metavar="FILE", help="the private key, in PEM")
    parser.add_argument(
        "--builder", default=_BUILDER, metavar="URI",
        help="who has built the package, for those who verify (default: `%(default)s`)",
    )  # fmt: skip
    parser.add_argument(
        "--generate-key", type=Path, metavar="NAME",
        help="make `NAME.key`, which signs, and `NAME.pub`, which verifies",
    )  # fmt: skip
    repositories.add_access(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Sign, and print what was signed and by which key."""
    if args.generate_key is not None:
        return _generate(args)
    if args.reference is None or args.key is None:
        raise UserError(
            "`lamina sign` needs a package and `--key FILE`",
            hint="`lamina sign --generate-key NAME` makes a pair of keys",
        )
    if arguments.is_label(args.reference):
        raise UserError(
            f"`{args.reference}` is a target, but packages are signed",
            hint=f"`lamina package {args.reference}` makes one, and prints what it is called",
        )
    if ":" not in args.builder:
        raise UserError(f"`--builder` takes a URI, not `{args.builder}`")
    remote = reference.is_remote(args.reference)
    digest, key = (_sign_there if remote else _sign_here)(args)
    if args.json:
        output.document({"digest": digest.oci, "key": key})
        return 0
    output.note(f"signed `{args.reference}` with the key {key}")
    output.data(digest.oci)
    return 0


def _sign_here(args: argparse.Namespace) -> tuple[Digest, str]:
    """Sign a package of the store, and keep the signature there."""
    from lamina.formats import oci
    from lamina.store import local, packages
    from lamina.store.trust import signatures

    store = local.LocalStore(local.default_folder())
    try:
        digest = packages.resolve(args.reference, store)
        package, kind = packages.read(digest, store), oci.media_type(store.read(digest))
        signed, key = _signed(args, package, digest, kind)
        signatures.keep(digest, [signed], store)
    finally:
        store.close()
    return digest, key


def _sign_there(args: argparse.Namespace) -> tuple[Digest, str]:
    """Sign a package of a repository, and put the signature beside it."""
    from lamina.store.trust import signatures

    wanted = reference.parse(args.reference)
    with repositories.opened(wanted, args) as repository:
        manifest = repository.manifest(wanted.wanted)
        package = repositories.described(wanted, repository, manifest)
        signed, key = _signed(args, package, manifest.digest, manifest.media_type)
        signatures.send([signed], repository)
    return manifest.digest, key


def _signed(
    args: argparse.Namespace, package: Package, digest: Digest, media_type: str
) -> tuple[Signed, str]:
    from lamina.packaging import signing
    from lamina.store.trust import keys

    key = keys.read_private(args.key)
    if args.key.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        output.note(f"warning: others may read `{args.key}`; `chmod 600` keeps it for you")
    return signing.sign(package, digest, media_type, key, args.builder), key.id


def _generate(args: argparse.Namespace) -> int:
    from lamina.packaging import signing

    if args.reference is not None or args.key is not None:
        raise UserError("`--generate-key` makes keys and signs nothing")
    key, private, public = signing.generate(args.generate_key)
    if args.json:
        output.document({"key": key, "private": str(private), "public": str(public)})
        return 0
    output.note(f"`{private}` signs and stays secret; `{public}` verifies")
    output.data(key)
    return 0
