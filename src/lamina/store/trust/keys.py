"""Keys of ed25519: PEM files, as `openssl genpkey -algorithm ed25519` writes them too.

RFC 8032 (ed25519), RFC 8410 (its keys in PKCS #8 and SubjectPublicKeyInfo). `cryptography` does the
work; it is imported when a key is read.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lamina.core.classes import dataclass, field
from lamina.core.digest import Digest
from lamina.core.errors import UserError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

_LIMIT = 1 << 16  # bytes of a file with a key
_MAKE = "`lamina sign --generate-key NAME` makes a pair of keys"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key to verify with."""

    id: str  # `sha256:…` of its DER
    source: str  # the file that it is from
    _key: Ed25519PublicKey = field(repr=False, compare=False)

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Whether a signature over some bytes was made with the private half."""
        from cryptography.exceptions import InvalidSignature

        try:
            self._key.verify(signature, data)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A key to sign with."""

    id: str  # of its public half
    _key: Ed25519PrivateKey = field(repr=False, compare=False)

    def sign(self, data: bytes) -> bytes:
        """The signature over some bytes: 64 bytes, the same each time."""
        return self._key.sign(data)


@dataclass(frozen=True, slots=True)
class Pair:
    """A new private key and its public half, as PEM."""

    id: str
    private: bytes
    public: bytes


def generate() -> Pair:
    """A new pair of keys."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return Pair(_id(key.public_key()), private, public)


def read_public(path: Path) -> PublicKey:
    """The public key in a file; raises UserError where there is none of ed25519."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    data = _read(path)
    if b"PRIVATE KEY" in data:
        raise UserError(
            f"`{path}` is a private key, but a public one is wanted",
            hint="whoever can read the private key can sign: it stays with who signs",
        )
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UserError(f"`{path}` is no public key in PEM", hint=_MAKE) from error
    if not isinstance(key, Ed25519PublicKey):
        raise _other(path, key)
    return PublicKey(_id(key), str(path), key)


def read_private(path: Path) -> PrivateKey:
    """The private key in a file; raises UserError where there is none of ed25519."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(_read(path), None)
    except TypeError as error:
        raise UserError(
            f"`{path}` is encrypted, but lamina asks for no password",
            hint="`openssl pkey -in FILE -out OTHER` writes it as it is",
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UserError(f"`{path}` is no private key in PEM", hint=_MAKE) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _other(path, key)
    return PrivateKey(_id(key.public_key()), key)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_LIMIT + 1)
    except OSError as error:
        raise UserError(f"cannot read the key `{path}`: {error.strerror}", hint=_MAKE) from error
    if len(data) > _LIMIT:
        raise UserError(f"`{path}` is no key: it has more than {_LIMIT} bytes")
    return data


def _other(path: Path, key: object) -> UserError:
    kind = type(key).__name__.removesuffix("PublicKey").removesuffix("PrivateKey").lstrip("_")
    return UserError(f"`{path}` is a key of {kind}, but lamina signs with ed25519", hint=_MAKE)


def _id(key: Ed25519PublicKey) -> str:
    from cryptography.hazmat.primitives import serialization

    der = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return Digest.of(der).oci
