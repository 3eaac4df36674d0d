"""Packages that may be run, and where their signatures come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lamina.core.digest import Digest
from lamina.core.errors import ServiceError, UserError
from lamina.core.manifest import Package
from lamina.formats.oci import MANIFEST
from lamina.node.admission import admit
from lamina.packaging import signing
from lamina.store.local import LocalStore
from lamina.store.trust import keys, signatures
from lamina.store.trust.places import Place
from lamina.store.trust.signatures import Fetched, Signed
from lamina.store.trust.verification import Untrusted

PACKAGE = Package("train/a", "v1", "//train:a", (), ("a",))
DIGEST = Digest.of(b"manifest")
RULE = b'[[trust.rule]]\npackages = ["*"]\nkeys = ["k.pub"]\n'


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    found = LocalStore(tmp_path / "store")
    yield found
    found.close()


@pytest.fixture
def signed(tmp_path: Path) -> Signed:
    _, private, _ = signing.generate(tmp_path / "k")
    return signing.sign(PACKAGE, DIGEST, MANIFEST, keys.read_private(private))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(str(tmp_path / "policy.toml"), RULE)


def giving(*found: Signed, wrong: tuple[str, ...] = ()) -> Callable[[], Fetched]:
    return lambda: Fetched(found, wrong)


def silent() -> Fetched:
    raise ServiceError("no route")


def test_what_is_fetched_is_kept(store: LocalStore, signed: Signed, place: Place) -> None:
    assert admit(PACKAGE, DIGEST, store, [place], giving(signed)) == []

    assert signatures.kept(DIGEST, store) == [signed]
    assert admit(PACKAGE, DIGEST, store, [place]) == []


def test_nobody_is_asked_where_the_store_has_what_is_wanted(
    store: LocalStore, signed: Signed, place: Place
) -> None:
    signatures.keep(DIGEST, [signed], store)

    assert admit(PACKAGE, DIGEST, store, [place], silent) == []


def test_a_registry_that_cannot_be_asked_is_told_of(
    store: LocalStore, signed: Signed, place: Place
) -> None:
    with pytest.raises(Untrusted, match="its repository cannot tell: no route"):
        admit(PACKAGE, DIGEST, store, [place], silent)


def test_what_was_wrong_in_the_registry_is_told_of(
    store: LocalStore, signed: Signed, place: Place
) -> None:
    with pytest.raises(Untrusted, match="a broken one"):
        admit(PACKAGE, DIGEST, store, [place], giving(wrong=("a broken one",)))


def test_each_policy_must_be_met(store: LocalStore, signed: Signed, place: Place) -> None:
    signatures.keep(DIGEST, [signed], store)
    other = Place(place.path.replace("policy", "other"), RULE.replace(b'"*"', b'"other/*"'))

    with pytest.raises(Untrusted, match=r"other\.toml` has no rule for it"):
        admit(PACKAGE, DIGEST, store, [place, other])


def test_a_malformed_policy_lets_nothing_through(store: LocalStore, place: Place) -> None:
    with pytest.raises(UserError, match="syntax error"):
        admit(PACKAGE, DIGEST, store, [Place(place.path, b"[[")])


def test_what_is_not_required_is_asked_for_and_told_of(
    store: LocalStore, signed: Signed, place: Place
) -> None:
    lax = Place(place.path, RULE + b"required = false\n")

    (warning,) = admit(PACKAGE, DIGEST, store, [lax], silent)
    assert "its repository cannot tell" in warning
    assert admit(PACKAGE, DIGEST, store, [lax], giving(signed)) == []
