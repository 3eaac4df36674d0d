"""Blobs that travel with a job, as text that becomes a variable of its tasks.

`1:` and then, in base64, a zlib stream (RFC 1950) of all blobs: each 4 bytes of its length, little
end first, and its bytes. They have no names: whoever reads them knows a blob by its digest, and one
that nobody asks for by that is nothing. So there is nothing in it that could be believed.
A comma and an edit (`formats/edit`) may follow, which the launcher alone reads. `1w:` in place of
`1:` says that what else the package has is on its way to the registry.
"""

from __future__ import annotations

import binascii
import zlib
from collections.abc import Iterable, Iterator

from lamina.core.errors import IntegrityError

# Linux takes 128 KiB as one variable at most (MAX_ARG_STRLEN). Of the half of that every node is
# sent all, as often as somebody submits: 48 KiB in base64.
LONGEST = 1 << 16  # letters
MOST = 1 << 19  # bytes of all blobs: documents are mostly hexadecimal digits, layers are compressed
_FORM = "1:"
_COMING = "1w:"
_EDIT = ","  # which means nothing to a shell
_LENGTH = 4  # bytes
_LEVEL = 9


def encode(blobs: Iterable[bytes]) -> str:
    """Some blobs as text; empty where they are too much for that."""
    pieces: list[bytes] = []
    left = MOST
    for blob in blobs:
        left -= _LENGTH + len(blob)
        if left < 0:
            return ""
        pieces += len(blob).to_bytes(_LENGTH, "little"), blob
    data = zlib.compress(b"".join(pieces), _LEVEL)
    text = _FORM + binascii.b2a_base64(data, newline=False).decode()
    return text if len(text) <= LONGEST else ""


_NONE = encode([])


def with_edit(blobs: str, edit: str) -> str:
    """Blobs as text, with an edit as text; either may be none, which is empty."""
    return f"{blobs or _NONE}{_EDIT}{edit}" if edit else blobs


def coming(text: str) -> str:
    """The text, where what it does not hold is on its way to the registry."""
    return _COMING + text.removeprefix(_FORM) if text else ""


def is_coming(text: str) -> bool:
    """Whether what it does not hold is worth waiting for."""
    return text.startswith(_COMING)


def decode(text: str) -> list[bytes]:
    """The blobs in a text; raises IntegrityError where it is another one."""
    text = text.partition(_EDIT)[0]
    form = _COMING if is_coming(text) else _FORM
    if not text.startswith(form) or len(text) > len(_COMING) + LONGEST:
        raise IntegrityError("blobs that came with a job have an unknown form, or are too many")
    try:
        packed = binascii.a2b_base64(text.removeprefix(form), strict_mode=True)
        stream = zlib.decompressobj()
        data = stream.decompress(packed, MOST)
    except (ValueError, zlib.error) as error:
        raise IntegrityError(f"blobs that came with a job are damaged: {error}") from error
    if not stream.eof or stream.unused_data:
        raise IntegrityError("blobs that came with a job are damaged: they have another length")
    return list(_blobs(data))


def _blobs(data: bytes) -> Iterator[bytes]:
    begin = 0
    while begin < len(data):
        end = begin + _LENGTH
        size = int.from_bytes(data[begin:end], "little")
        if len(data) < end + size:
            raise IntegrityError("blobs that came with a job are damaged: the last is cut short")
        yield data[end : end + size]
        begin = end + size
