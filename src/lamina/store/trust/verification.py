"""Verifies signatures of packages, and compares them with policies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lamina.core.classes import dataclass
from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError, Untrusted
from lamina.formats import dsse, intoto
from lamina.formats.intoto import Provenance
from lamina.store.trust.keys import PublicKey
from lamina.store.trust.policy import Policy
from lamina.store.trust.signatures import Signed


@dataclass(frozen=True, slots=True)
class Subject:
    """What must be signed."""

    digest: Digest  # of the package's manifest
    name: str  # that the package has
    version: str = ""  # for people

    def __str__(self) -> str:
        return f"{self.name}:{self.version}" if self.version else self.name


@dataclass(frozen=True, slots=True)
class Vouched:
    """A good signature: whose, and what it says."""

    key: PublicKey
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of some signatures."""

    good: tuple[Vouched, ...]
    wrong: tuple[str, ...]  # what is the matter with the others


def verify(subject: Subject, signatures: Iterable[Signed], keys: Sequence[PublicKey]) -> Verdict:
    """Tell good signatures of some keys from all others."""
    good: list[Vouched] = []
    wrong: list[str] = []
    for each in signatures:
        try:
            good += _verify(subject, each.envelope, keys)
        except IntegrityError as error:
            wrong.append(f"signature {each.digest.short}: {error.message}")
    return Verdict(tuple(good), tuple(wrong))


def _verify(subject: Subject, data: bytes, keys: Sequence[PublicKey]) -> list[Vouched]:
    envelope = dsse.decode(data)
    if envelope.payload_type != intoto.PAYLOAD_TYPE:
        raise IntegrityError(f"it holds `{envelope.payload_type}`, not `{intoto.PAYLOAD_TYPE}`")
    # What an envelope says of its keys is a hint that anybody can write: all of ours are tried.
    # Nobody's statement is read before it is known who made it.
    signed = envelope.signed
    by = [
        key
        for key in keys
        if any(key.verifies(signature.value, signed) for signature in envelope.signatures)
    ]
    if not by:
        told = ", ".join(dict.fromkeys(each.key[:80] for each in envelope.signatures if each.key))
        raise IntegrityError(f"none of the keys made it; it says `{told or 'nothing'}` of its key")
    provenance = intoto.decode(envelope.payload)
    about = [each.name for each in provenance.subjects if each.hash == subject.digest.hash]
    if not about:
        raise IntegrityError("it is about another package, by its digest")
    if subject.name not in about:
        raise IntegrityError(f"it is about a package called `{about[0]:.80}`")
    return [Vouched(key, provenance) for key in by]


def comply(
    subject: Subject, signatures: Sequence[Signed], policy: Policy, told: Sequence[str] = ()
) -> str:
    """Compare a package with a policy; a warning, or nothing.

    Raises Untrusted where it does not comply; `told` is what else is known of its signatures.
    """
    rule = policy.rule_for(subject.name)
    place = policy.place(rule)
    if not rule.keys:
        if not rule.required:
            return ""
        raise Untrusted(
            f"`{subject}` may not be run: `{place}` has no rule for it",
            hint='`[[trust.rule]]` with `packages = ["…"]` and `keys = ["….pub"]` allows packages',
        )
    keys = policy.keys_for(subject.name)
    verdict = verify(subject, signatures, keys)
    if verdict.good:
        return ""
    error = untrusted(subject, keys, (*verdict.wrong, *told), f" that `{place}` wants")
    if rule.required:
        raise error
    return error.message


def untrusted(
    subject: Subject, keys: Sequence[PublicKey], reasons: Sequence[str], why: str = ""
) -> Untrusted:
    """The error for a package that none of some keys has signed, with the reasons."""
    lines = [
        f"`{subject}` has no good signature of a key{why}",
        *(f"  {reason}" for reason in reasons or ["it has no signature"]),
        *(f"  a key that would do: {key.id}, `{key.source}`" for key in keys),
    ]
    return Untrusted(
        "\n".join(lines),
        hint=f"`lamina sign {subject} --key FILE` with the private half of such a key; "
        "`lamina push` and `lamina pull --signatures` bring signatures to other machines",
    )
