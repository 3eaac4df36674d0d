"""Signatures that are good, and all ways in which others are not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lamina.core.digest import Digest
from lamina.core.errors import LaminaError, Untrusted
from lamina.core.manifest import Package
from lamina.formats import dsse, intoto
from lamina.formats.dsse import Envelope, Signature
from lamina.formats.oci import MANIFEST
from lamina.packaging import signing
from lamina.store.trust import keys, signatures, verification
from lamina.store.trust.keys import PrivateKey, PublicKey
from lamina.store.trust.policy import Policy, Rule
from lamina.store.trust.signatures import Signed
from lamina.store.trust.verification import Subject

PACKAGE = Package("train/a", "v1", "//train:a", (), ("a",), commit="c" * 40)
DIGEST = Digest.of(b"manifest")
SUBJECT = Subject(DIGEST, "train/a", "v1")


@dataclass(frozen=True)
class Pair:
    private: PrivateKey
    public: PublicKey
    path: Path


Make = Callable[[str], Pair]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Make:
    folder = tmp_path_factory.mktemp("keys")
    known: dict[str, Pair] = {}

    def make(name: str) -> Pair:
        if name not in known:
            _, private, public = signing.generate(folder / name)
            known[name] = Pair(keys.read_private(private), keys.read_public(public), public)
        return known[name]

    return make


def signed(pair: Pair, package: Package = PACKAGE, digest: Digest = DIGEST) -> Signed:
    return signing.sign(package, digest, MANIFEST, pair.private)


def enveloped(pair: Pair, payload: bytes, kind: str = intoto.PAYLOAD_TYPE) -> Signed:
    """Anything, with a good signature."""
    value = pair.private.sign(dsse.pre_authentication(kind, payload))
    envelope = Envelope(kind, payload, (Signature(value, pair.private.id),))
    return signatures.put(DIGEST, MANIFEST, dsse.encode(envelope))


def reason(found: Signed, *pairs: Pair) -> str:
    """Why a signature is not good."""
    verdict = verification.verify(SUBJECT, [found], [pair.public for pair in pairs])
    assert verdict.good == ()
    (told,) = verdict.wrong
    return told


def test_a_good_signature_tells_who_and_from_what(made: Make) -> None:
    verdict = verification.verify(
        SUBJECT, [signed(made("a"))], [made("b").public, made("a").public]
    )

    (found,) = verdict.good
    assert (found.key, verdict.wrong) == (made("a").public, ())
    assert (found.provenance.commit, found.provenance.target) == ("c" * 40, "//train:a")


def test_signing_again_gives_the_same_bytes(made: Make) -> None:
    assert signed(made("a")) == signed(made("a"))


def test_what_nobody_could_verify_is_not_signed(made: Make) -> None:
    with pytest.raises(LaminaError, match="a control character"):
        signing.sign(PACKAGE, DIGEST, MANIFEST, made("a").private, "urn:x\n")


def test_another_key_does_not_do(made: Make) -> None:
    assert "none of the keys made it" in reason(signed(made("a")), made("b"))
    assert "none of the keys made it" in reason(signed(made("a")))


def test_the_name_of_a_key_proves_nothing(made: Make) -> None:
    envelope = dsse.decode(signed(made("a")).envelope)
    told = Signature(envelope.signatures[0].value, made("b").public.id)
    forged = dsse.encode(replace(envelope, signatures=(told,)))

    assert "none of the keys" in reason(signatures.put(DIGEST, MANIFEST, forged), made("b"))


def test_one_good_signature_of_several_is_enough(made: Make) -> None:
    envelope = dsse.decode(signed(made("a")).envelope)
    others = (Signature(b"x" * 64, made("b").public.id), Signature(b"short"))
    several = dsse.encode(replace(envelope, signatures=(*others, *envelope.signatures)))
    broken = replace(signed(made("b")), envelope=b"{}")

    verdict = verification.verify(
        SUBJECT, [broken, signatures.put(DIGEST, MANIFEST, several)], [made("a").public]
    )

    assert [each.key for each in verdict.good] == [made("a").public]
    assert len(verdict.wrong) == 1


def test_a_signature_over_the_text_without_its_type_is_none(made: Make) -> None:
    payload = intoto.encode(PACKAGE, DIGEST)
    bare = Envelope(intoto.PAYLOAD_TYPE, payload, (Signature(made("a").private.sign(payload)),))

    assert "none of the keys" in reason(
        signatures.put(DIGEST, MANIFEST, dsse.encode(bare)), made("a")
    )


def test_another_type_of_text_is_refused(made: Make) -> None:
    found = enveloped(made("a"), intoto.encode(PACKAGE, DIGEST), "application/json")

    assert "it holds `application/json`" in reason(found, made("a"))


def test_another_predicate_is_refused(made: Make) -> None:
    document = json.loads(intoto.encode(PACKAGE, DIGEST)) | {"predicateType": "urn:review"}

    assert "the predicate type is 'urn:review'" in reason(
        enveloped(made("a"), json.dumps(document).encode()), made("a")
    )


def test_a_signature_of_another_package_is_none_of_this(made: Make) -> None:
    other = signed(made("a"), digest=Digest.of(b"other"))

    assert "about another package" in reason(other, made("a"))
    assert "about another package" in reason(
        signatures.put(DIGEST, MANIFEST, other.envelope), made("a")
    )


def test_a_signature_for_another_name_is_none_for_this(made: Make) -> None:
    found = signed(made("a"), replace(PACKAGE, name="scratch/a"))

    assert "about a package called `scratch/a`" in reason(found, made("a"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_no_byte_of_an_envelope_can_change(made: Make, data: st.DataObject) -> None:
    whole = signed(made("a")).envelope
    at = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != whole[at]))
    changed = whole[:at] + bytes([byte]) + whole[at + 1 :]

    verdict = verification.verify(
        SUBJECT, [signatures.put(DIGEST, MANIFEST, changed)], [made("a").public]
    )

    # What names the key, or a field that nobody reads, is not signed; all that is said is.
    for each in verdict.good:
        assert dsse.decode(changed).payload == dsse.decode(whole).payload
        assert each.provenance == intoto.decode(dsse.decode(whole).payload)
    assert verdict.good or verdict.wrong


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_truncated_envelope_is_no_signature(made: Make, data: st.DataObject) -> None:
    whole = signed(made("a")).envelope
    end = data.draw(st.integers(0, len(whole) - 1))

    assert "not a DSSE envelope" in reason(signatures.put(DIGEST, MANIFEST, whole[:end]), made("a"))


def test_a_policy_names_rule_keys_and_what_to_do(made: Make) -> None:
    policy = Policy("/p.toml", (Rule(("train/*",), (made("a").path,), line=3),))

    assert verification.comply(SUBJECT, [signed(made("a"))], policy) == ""
    with pytest.raises(Untrusted) as caught:
        verification.comply(SUBJECT, [signed(made("b"))], policy, ["the registry is odd"])

    assert caught.value.exit_code == 4
    for part in ("`train/a:v1`", "`/p.toml:3`", made("a").public.id, "odd", "none of the keys"):
        assert part in caught.value.message
    assert "lamina sign train/a:v1" in str(caught.value.hint)


def test_a_key_signs_only_what_its_rule_is_for(made: Make) -> None:
    rules = (
        Rule(("scratch/*",), (made("b").path,)),
        Rule(("train/*",), (made("a").path,)),
        Rule(("*",), (made("b").path,)),
    )

    with pytest.raises(Untrusted):
        verification.comply(SUBJECT, [signed(made("b"))], Policy("p", rules))


def test_what_no_rule_is_for_is_refused(made: Make) -> None:
    with pytest.raises(Untrusted, match="has no rule for it"):
        verification.comply(SUBJECT, [signed(made("a"))], Policy("p", ()))
    assert verification.comply(SUBJECT, [], Policy("p", (), required=False)) == ""


def test_what_is_not_required_is_told(made: Make) -> None:
    policy = Policy("p", (Rule(("*",), (made("a").path,), required=False),))

    assert "it has no signature" in verification.comply(SUBJECT, [], policy)
    assert verification.comply(SUBJECT, [signed(made("a"))], policy) == ""


def test_a_key_of_a_policy_that_is_gone_lets_nothing_through(tmp_path: Path) -> None:
    policy = Policy("p", (Rule(("*",), (tmp_path / "none.pub",), required=False),))

    with pytest.raises(LaminaError, match="cannot read the key"):
        verification.comply(SUBJECT, [], policy)
