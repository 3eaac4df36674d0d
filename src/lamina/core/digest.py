"""The one name for content: sha256 and size, as the Remote Execution API and OCI both use it."""

from __future__ import annotations

import re
import sys
from typing import Self

from lamina.core.classes import dataclass
from lamina.core.errors import IntegrityError, UserError

# Python's own. `hashlib` brings OpenSSL, which takes 3 ms to load, and is faster then.
try:
    if sys.version_info >= (3, 12):
        from _sha2 import sha256 as _of_python
    else:
        from _sha256 import sha256 as _of_python  # type: ignore[import-not-found]
except ImportError:  # it is built without
    from hashlib import sha256 as _of_python

SMALL = 1 << 16  # bytes
_HASH = re.compile(r"[0-9a-f]{64}")
_TEXT = re.compile(r"([0-9a-f]{64})/([0-9]{1,19})")


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """Names a blob; `str()` gives `<hash>/<size>`, which `parse` reads back."""

    hash: str  # 64 lower-case hexadecimal digits
    size: int  # bytes

    def __str__(self) -> str:
        return f"{self.hash}/{self.size}"

    @property
    def oci(self) -> str:
        """The form that OCI descriptors use: `sha256:<hash>`."""
        return f"sha256:{self.hash}"

    @property
    def short(self) -> str:
        """The first 12 digits, for people and file names."""
        return self.hash[:12]

    @classmethod
    def of(cls, data: bytes) -> Self:
        """The digest of the given bytes."""
        return cls(_sha256(data), len(data))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `<hash>/<size>`; raises UserError on anything else."""
        match = _TEXT.fullmatch(text)
        if match is None:
            raise UserError(f"not a digest: `{text}`", hint="a digest is `<64 hex digits>/<size>`")
        return cls(match[1], int(match[2]))

    @classmethod
    def from_oci(cls, text: str, size: int) -> Self:
        """Read an OCI descriptor's `sha256:<hash>` and size; raises IntegrityError if malformed.

        Nothing from a network becomes a path before it has passed here.
        """
        algorithm, _, value = text.partition(":")
        if algorithm != "sha256" or not _HASH.fullmatch(value) or size < 0:
            raise IntegrityError(f"not a sha256 digest: `{text}` of size {size}")
        return cls(value, size)


def _sha256(data: bytes) -> str:
    if len(data) <= SMALL:
        found: str = _of_python(data).hexdigest()
        return found
    from hashlib import sha256

    return sha256(data).hexdigest()


EMPTY = Digest.of(b"")
