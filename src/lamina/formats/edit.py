"""An edit as text: a package as one of some before it, with the same image over either.

`1:`, and in hexadecimal digits the hashes of the manifests of the packages before, the newest
first, with `+` between; then, with colons between, the hash of that of the package itself; its
version; the BLAKE2s (RFC 7693) of all that follows the next colon; and there the image in base64:
squashfs without a header before it. `launcher/edit.c` reads it. Who starts a package before, with
this image on top of what that mounts, starts this one; they differ in nothing else but their
versions.
"""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from hashlib import blake2s

LARGEST = 45 << 10  # bytes of an image; every node is sent it, beside the blobs themselves
OVER = 16  # packages before
_FORM = "1"


def encode(over: Sequence[str], package: str, version: str, image: bytes) -> str:
    """The edit as text; raises ValueError where it is too much for that, or nothing."""
    if not 0 < len(image) <= LARGEST or not 0 < len(over) <= OVER:
        raise ValueError("an edit has one image of no more than 45 KiB, over 1 to 16 packages")
    found = binascii.b2a_base64(image, newline=False).decode()
    check = blake2s(found.encode()).hexdigest()
    return ":".join((_FORM, "+".join(over), package, version, check, found))
