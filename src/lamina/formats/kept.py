"""What lamina remembers from one run to the next: plain values in a file, which may be damaged.

A file is a line of text, which tells of what form the values are and for which Python, a CRC-32 of
the rest in 4 bytes, and the values as marshal writes them. That is the fastest there is, but it has
no check of its own: a flipped bit would be another value, and `marshal.loads` may do anything with
what `marshal.dumps` did not write. So it never sees other bytes than those.
"""

from __future__ import annotations

import marshal
import os
import sys
import zlib
from pathlib import Path
from typing import Any

from lamina.linux import filesystem
from lamina.linux.identity import Identity, identity

_LARGE = 4 << 20  # bytes
_PYTHON = f"Python {sys.version_info[0]}.{sys.version_info[1]}"  # marshal differs between versions


_ahead: dict[str, tuple[str, Identity, Any]] = {}  # form, file and values by path
_reads: dict[str, str] = {}


def write(path: Path, form: str, values: Any, scratch: Path | None = None) -> None:
    """Keep values; `scratch` is that of `filesystem.write_atomic`."""
    data = marshal.dumps(values)
    head = _head(form) + zlib.crc32(data).to_bytes(4, "little")
    filesystem.write_atomic(path, head + data, scratch=scratch)


def read(path: Path, form: str) -> Any:
    """The values that were kept; None where there are none of this form, or damaged ones."""
    name = str(path)
    _reads[name] = form
    ahead = _ahead.pop(name, None)
    try:
        if ahead is not None and ahead[:2] == (form, identity(path.stat())):
            return ahead[2]
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return _values(data, form)


def read_ahead(path: str, form: str) -> None:
    """Have the values there for the next `read`, if the file is the same then and is not large."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - to look at what is read
            known = identity(os.fstat(file.fileno()))
            data = file.read(_LARGE)
    except OSError:
        return  # whoever reads it meets that
    if len(data) < _LARGE:
        _ahead[path] = form, known, _values(data, form)


def reads() -> dict[str, str]:
    """The form of what this process has read, by path."""
    return _reads


def _values(data: bytes, form: str) -> Any:
    head = _head(form)
    start = len(head) + 4
    if not data.startswith(head):
        return None
    body = memoryview(data)[start:]
    if zlib.crc32(body).to_bytes(4, "little") != data[len(head) : start]:
        return None
    return marshal.loads(body)


def _head(form: str) -> bytes:
    return f"{form}, {_PYTHON}\n".encode()
