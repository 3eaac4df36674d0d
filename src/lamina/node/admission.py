"""Lets a package be run, or not: as the policies in force say."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lamina.core.digest import Digest
from lamina.core.errors import ServiceError
from lamina.core.manifest import Package
from lamina.store.local import LocalStore
from lamina.store.trust import policy, signatures, verification
from lamina.store.trust.places import Place
from lamina.store.trust.policy import Policy
from lamina.store.trust.signatures import Fetched, Signed
from lamina.store.trust.verification import Subject, Untrusted


def admit(
    package: Package,
    manifest: Digest,
    store: LocalStore,
    places: Sequence[Place],
    fetch: Callable[[], Fetched] | None = None,
) -> list[str]:
    """Check a package against the policies of some files; warnings are what comes back.

    Where the signatures in the store do not do, those in the repository are fetched, if there is
    one, and kept. Raises Untrusted where the package does not comply, and UserError for policies
    that are malformed.
    """
    policies = [found for each in places if (found := policy.read(each)) is not None]
    subject = Subject(manifest, package.name, package.version)
    known = signatures.kept(manifest, store)
    try:
        warnings = _comply(subject, known, policies)
        if fetch is None or not warnings:
            return warnings
    except Untrusted:
        if fetch is None:
            raise
    try:
        fetched = fetch()
    except ServiceError as error:
        return _comply(subject, known, policies, [f"its repository cannot tell: {error.message}"])
    signatures.keep(manifest, fetched.signatures, store)
    new = [each for each in fetched.signatures if each not in known]
    return _comply(subject, [*known, *new], policies, fetched.wrong)


def _comply(
    subject: Subject,
    found: Sequence[Signed],
    policies: Sequence[Policy],
    told: Sequence[str] = (),
) -> list[str]:
    warnings = [verification.comply(subject, found, each, told) for each in policies]
    return [each for each in warnings if each]
