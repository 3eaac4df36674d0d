"""DSSE: an envelope that holds a text, what kind of text it is, and signatures over both.

Specification: github.com/secure-systems-lab/dsse, envelope.md and protocol.md, version 1.0.2.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from lamina.core.classes import dataclass
from lamina.core.errors import IntegrityError
from lamina.formats import strictjson

MEDIA_TYPE = "application/vnd.dsse.envelope.v1+json"
LIMIT = 1 << 24  # bytes of an envelope: that of a package of 20,000 layers has half of it
_SIGNATURES = 8  # in one envelope
_SIGNATURE = 1024  # bytes of one, of whatever algorithm
_TYPE, _KEY = 128, 256  # characters of a payload type, of a key's name


@dataclass(frozen=True, slots=True)
class Signature:
    """Bytes that somebody says to be a signature; `key` is a hint by whom, and proves nothing."""

    value: bytes
    key: str = ""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What was signed, and the signatures, which nobody has looked at yet."""

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]

    @property
    def signed(self) -> bytes:
        """The bytes that the signatures are over."""
        return pre_authentication(self.payload_type, self.payload)


def pre_authentication(payload_type: str, payload: bytes) -> bytes:
    """PAE: type and text with their lengths, so that no byte of one can pass for the other's."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def encode(envelope: Envelope) -> bytes:
    """The envelope as JSON, one text for one envelope."""
    return strictjson.write(
        {
            "payload": base64.b64encode(envelope.payload).decode(),
            "payloadType": envelope.payload_type,
            "signatures": [
                {"keyid": each.key, "sig": base64.b64encode(each.value).decode()}
                for each in envelope.signatures
            ],
        }
    )


def decode(data: bytes) -> Envelope:
    """Read an envelope of anybody; raises IntegrityError where it is malformed or too large."""
    if len(data) > LIMIT:
        raise IntegrityError(f"not a DSSE envelope: it has more than {LIMIT} bytes")
    return strictjson.read(data, "a DSSE envelope", _envelope)


def _envelope(document: Mapping[str, object]) -> Envelope:
    found = strictjson.sequence(document["signatures"])
    if not 0 < len(found) <= _SIGNATURES:
        raise ValueError(f"{len(found)} signatures, not 1 to {_SIGNATURES}")
    return Envelope(
        _short(document["payloadType"], _TYPE),
        _bytes(document["payload"]),
        tuple(_signature(strictjson.mapping(each)) for each in found),
    )


def _signature(document: Mapping[str, object]) -> Signature:
    value = _bytes(document["sig"])
    if not 0 < len(value) <= _SIGNATURE:
        raise ValueError(f"a signature of {len(value)} bytes")
    return Signature(value, _short(document.get("keyid") or "", _KEY))


def _short(value: object, most: int) -> str:
    found = strictjson.line(value)
    if len(found) > most:
        raise ValueError(f"{len(found)} characters where {most} are the most")
    return found


def _bytes(value: object) -> bytes:
    """Base64 of either alphabet, written in the one way that the bytes have in it."""
    found = strictjson.text(value)
    altchars = b"-_" if "-" in found or "_" in found else b"+/"
    try:
        data = base64.b64decode(found, altchars, validate=True)
    except binascii.Error as error:
        raise ValueError(f"no base64: {error}") from error
    if base64.b64encode(data, altchars).decode() != found:
        raise ValueError("base64 that is not written as its bytes are")
    return data
