"""`lamina verify`: who signed a package, and what they say that it was made from."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.cli import arguments, output, repositories
from lamina.core import reference
from lamina.core.classes import dataclass
from lamina.core.errors import UserError

if TYPE_CHECKING:
    from lamina.core.digest import Digest
    from lamina.core.manifest import Package
    from lamina.store.trust.signatures import Fetched
    from lamina.store.trust.verification import Verdict


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "reference", metavar="PACKAGE|REF",
        help="a package of the store, or a reference as of `lamina pull`; no layer is fetched",
    )  # fmt: skip
    parser.add_argument(
        "--key", type=Path, metavar="PUB", action="append", default=[],
        help="a public key, any number of times (default: what the policies say)",
    )  # fmt: skip
    repositories.add_access(parser)
    arguments.add_json(parser)


@dataclass(frozen=True, slots=True)
class _Found:
    """A package and what is beside it."""

    digest: Digest
    package: Package
    fetched: Fetched


def run(args: argparse.Namespace) -> int:
    """Print whose signatures are good; it is an error where a wanted one is missing."""
    found = (_there if reference.is_remote(args.reference) else _here)(args)
    verdict = _judge(args, found)
    if args.json:
        output.document(_fields(found, verdict))
        return 0
    output.data(f"package  {found.package.name}:{found.package.version}")
    output.data(f"digest   {found.digest.oci}")
    for each in verdict.good:
        said = each.provenance
        dirty = ", and changes that are not in it" if said.dirty else ""
        output.data("")
        output.data(f"key      {each.key.id} ({each.key.source})")
        output.data(f"commit   {said.commit or 'none'}{dirty}")
        output.data(f"target   {said.target or 'unknown'}")
        output.data(f"builder  {said.builder}")
        output.data(f"build    {said.build_type}")
    for reason in (*verdict.wrong, *found.fetched.wrong):
        output.note(f"warning: passed over: {reason}")
    return 0


def _judge(args: argparse.Namespace, found: _Found) -> Verdict:
    """The good signatures; raises Untrusted where there are none, or a policy wants others."""
    from lamina.store.trust import keys, places, policy, verification

    name = found.package.name
    subject = verification.Subject(found.digest, name, found.package.version)
    told = found.fetched
    if args.key:
        wanted = [keys.read_public(path) for path in args.key]
    else:
        read = (policy.read(place) for place in places.in_force())
        policies = [each for each in read if each is not None]
        for each in policies:
            verification.comply(subject, told.signatures, each, told.wrong)
        wanted = [key for each in policies for key in each.keys_for(name)]
        wanted = list({key.id: key for key in wanted}.values())
    if not wanted:
        raise UserError(
            "there is no key to verify with",
            hint="`--key FILE` names public keys, and so do policies: see docs/trust.md",
        )
    verdict = verification.verify(subject, told.signatures, wanted)
    if not verdict.good:
        raise verification.untrusted(subject, wanted, (*verdict.wrong, *told.wrong))
    return verdict


def _here(args: argparse.Namespace) -> _Found:
    from lamina.store import local, packages
    from lamina.store.trust import signatures

    store = local.LocalStore(local.default_folder())
    try:
        digest = packages.resolve(args.reference, store)
        fetched = signatures.Fetched(tuple(signatures.kept(digest, store)), ())
        return _Found(digest, packages.read(digest, store), fetched)
    finally:
        store.close()


def _there(args: argparse.Namespace) -> _Found:
    from lamina.store.trust import signatures

    wanted = reference.parse(args.reference)
    with repositories.opened(wanted, args) as repository:
        manifest = repository.manifest(wanted.wanted)
        package = repositories.described(wanted, repository, manifest)
        fetched = signatures.fetch(manifest.digest, repository)
    return _Found(manifest.digest, package, fetched)


def _fields(found: _Found, verdict: Verdict) -> dict[str, object]:
    return {
        "name": found.package.name,
        "version": found.package.version,
        "digest": found.digest.oci,
        "signatures": [
            {
                "key": each.key.id,
                "file": each.key.source,
                "commit": each.provenance.commit,
                "dirty": each.provenance.dirty,
                "target": each.provenance.target,
                "builder": each.provenance.builder,
                "build_type": each.provenance.build_type,
            }
            for each in verdict.good
        ],
        "passed_over": [*verdict.wrong, *found.fetched.wrong],
    }
