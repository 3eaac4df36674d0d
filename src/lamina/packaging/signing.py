"""Signs packages: a statement what a package was made from, in an envelope, beside its manifest."""

from __future__ import annotations

from pathlib import Path

from lamina.core.digest import Digest
from lamina.core.errors import UserError
from lamina.core.manifest import Package
from lamina.formats import dsse, intoto
from lamina.formats.dsse import Envelope, Signature
from lamina.linux import filesystem
from lamina.store.trust import keys, signatures
from lamina.store.trust.keys import PrivateKey
from lamina.store.trust.signatures import Signed


def sign(
    package: Package,
    manifest: Digest,
    media_type: str,
    key: PrivateKey,
    builder: str = intoto.BUILDER,
) -> Signed:
    """Sign a package by the digest of its manifest, of a media type; `builder` is a URI.

    The same package, key and builder give the same bytes.
    """
    envelope = Envelope(intoto.PAYLOAD_TYPE, intoto.encode(package, manifest, builder), ())
    signature = Signature(key.sign(envelope.signed), key.id)
    data = dsse.encode(Envelope(envelope.payload_type, envelope.payload, (signature,)))
    return signatures.put(manifest, media_type, data)


def generate(name: Path) -> tuple[str, Path, Path]:
    """Make `NAME.key` and `NAME.pub`; the key's id and both. Raises UserError where one exists."""
    private, public = name.with_name(f"{name.name}.key"), name.with_name(f"{name.name}.pub")
    for path in (private, public):
        if path.exists() or path.is_symlink():
            raise UserError(
                f"`{path}` exists already", hint="a key that is lost cannot be made again"
            )
    pair = keys.generate()
    try:
        filesystem.write_new(str(private), pair.private, 0o600, durable=True)
        filesystem.write_new(str(public), pair.public, 0o644, durable=True)
    except OSError as error:
        raise UserError(f"cannot write keys to `{name}`: {error.strerror}") from error
    return pair.id, private, public
