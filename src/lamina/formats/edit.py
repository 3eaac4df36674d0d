"""An edit as text: a package as one of some before it, with the same images over either.

`1:`, and in hexadecimal digits the hashes of the manifests of the packages before, the newest
first, with `+` between; then, with colons between, the hash of that of the package itself; its
version; the BLAKE2s (RFC 7693) of all that follows the next colon; and there the images, each in
base64: squashfs without a header before it. `launcher/edit.c` reads it. Who starts a package
before, with these images on top of what that mounts, starts this one; they differ in nothing else
but their versions.
"""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from hashlib import blake2s

LONGEST = 1 << 15  # letters; every node is sent them, beside the blobs themselves
MOST = 4  # images: each is one more to mount
OVER = 16  # packages before
_FORM = "1"


def encode(over: Sequence[str], package: str, version: str, images: Sequence[bytes]) -> str:
    """The edit as text; empty where it is too much for that."""
    found = ":".join(binascii.b2a_base64(each, newline=False).decode() for each in images)
    check = blake2s(found.encode()).hexdigest()
    text = ":".join((_FORM, "+".join(over), package, version, check, found))
    fits = len(text) <= LONGEST and 0 < len(images) <= MOST and 0 < len(over) <= OVER
    return text if fits else ""
