"""Keys and signatures, against those of OpenSSL."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from lamina.core.digest import Digest
from lamina.core.errors import UserError
from lamina.core.manifest import Package
from lamina.formats.oci import MANIFEST
from lamina.packaging import signing
from lamina.store.trust import keys, signatures, verification
from lamina.store.trust.verification import Subject


def openssl(*words: str | Path) -> bytes:
    return subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True).stdout


def test_openssl_verifies_our_signature(tmp_path: Path) -> None:
    key, private, public = signing.generate(tmp_path / "k")
    signature = keys.read_private(private).sign(b"text")
    (tmp_path / "text").write_bytes(b"text")
    (tmp_path / "sig").write_bytes(signature)

    told = openssl(
        "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", public,
        "-in", tmp_path / "text", "-sigfile", tmp_path / "sig",
    )  # fmt: skip

    assert b"Verified Successfully" in told
    der = openssl("pkey", "-pubin", "-in", public, "-outform", "DER")
    assert key == f"sha256:{hashlib.sha256(der).hexdigest()}" == keys.read_public(public).id


def test_we_verify_a_signature_of_openssl(tmp_path: Path) -> None:
    private, public, sig = tmp_path / "k", tmp_path / "k.pub", tmp_path / "sig"
    openssl("genpkey", "-algorithm", "ed25519", "-out", private)
    openssl("pkey", "-in", private, "-pubout", "-out", public)
    (tmp_path / "text").write_bytes(b"text")
    openssl(
        "pkeyutl", "-sign", "-rawin", "-inkey", private, "-in", tmp_path / "text", "-out", sig
    )  # fmt: skip

    key = keys.read_public(public)

    assert key.verifies(sig.read_bytes(), b"text")
    assert not key.verifies(sig.read_bytes(), b"other")
    assert not key.verifies(b"short", b"text")
    assert keys.read_private(private).sign(b"text") == sig.read_bytes()
    assert keys.read_private(private).id == key.id


def test_a_signed_package_is_one_for_openssl_too_and_the_other_way_round(tmp_path: Path) -> None:
    _, private, public = signing.generate(tmp_path / "k")
    package, digest = Package("p/a", "v1", "//p:a", (), ("a",)), Digest.of(b"manifest")
    ours = signing.sign(package, digest, MANIFEST, keys.read_private(private))
    document = json.loads(ours.envelope)
    statement = base64.b64decode(document["payload"])
    signed, sig = tmp_path / "signed", tmp_path / "sig"
    signed.write_bytes(b"DSSEv1 28 application/vnd.in-toto+json %d " % len(statement) + statement)
    sig.write_bytes(base64.b64decode(document["signatures"][0]["sig"]))

    verify = ("pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", public)
    assert b"Verified" in openssl(*verify, "-in", signed, "-sigfile", sig)

    other, other_public = tmp_path / "o", tmp_path / "o.pub"
    openssl("genpkey", "-algorithm", "ed25519", "-out", other)
    openssl("pkey", "-in", other, "-pubout", "-out", other_public)
    openssl("pkeyutl", "-sign", "-rawin", "-inkey", other, "-in", signed, "-out", sig)
    document["signatures"] = [{"sig": base64.b64encode(sig.read_bytes()).decode()}]
    theirs = signatures.put(digest, MANIFEST, json.dumps(document, indent=2).encode())

    key = keys.read_public(other_public)
    verdict = verification.verify(Subject(digest, "p/a"), [ours, theirs], [key])
    assert [each.key for each in verdict.good] == [key]


def test_a_private_key_is_for_its_owner_and_none_is_written_over(tmp_path: Path) -> None:
    signing.generate(tmp_path / "k")

    assert (tmp_path / "k.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "k.pub").stat().st_mode & 0o777 == 0o644
    with pytest.raises(UserError, match="exists already"):
        signing.generate(tmp_path / "k")
    (tmp_path / "k.key").unlink()
    with pytest.raises(UserError, match=r"k\.pub` exists already"):
        signing.generate(tmp_path / "k")
    assert not (tmp_path / "k.key").exists()


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"), "RSA"),
        (("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"), "E"),
        (("-algorithm", "ed448"), "Ed448"),
        (("-algorithm", "x25519"), "X25519"),
    ],
)
def test_keys_of_other_algorithms_are_refused(
    tmp_path: Path, words: tuple[str, ...], kind: str
) -> None:
    private, public = tmp_path / "k", tmp_path / "k.pub"
    openssl("genpkey", *words, "-out", private)
    openssl("pkey", "-in", private, "-pubout", "-out", public)

    with pytest.raises(UserError, match=f"is a key of {kind}"):
        keys.read_public(public)
    with pytest.raises(UserError, match=f"is a key of {kind}"):
        keys.read_private(private)


def test_what_is_no_key_is_told(tmp_path: Path) -> None:
    _, private, public = signing.generate(tmp_path / "k")
    sealed = tmp_path / "sealed"
    openssl("pkey", "-in", private, "-aes256", "-passout", "pass:x", "-out", sealed)
    (tmp_path / "cut").write_bytes(public.read_bytes()[:50])
    (tmp_path / "large").write_bytes(b"x" * (1 << 17))

    for path, message in (
        (private, "is a private key"),
        (tmp_path / "cut", "is no public key"),
        (tmp_path / "large", "is no key"),
        (tmp_path / "none", "cannot read the key"),
        (tmp_path, "cannot read the key"),
    ):
        with pytest.raises(UserError, match=message):
            keys.read_public(path)
    with pytest.raises(UserError, match="is encrypted"):
        keys.read_private(sealed)
    with pytest.raises(UserError, match="is no private key"):
        keys.read_private(public)
