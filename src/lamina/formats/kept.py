"""What lamina remembers from one run to the next: plain values in a file, which may be damaged.

A file is a line of text, which tells of what form the values are and for which Python, a CRC-32 of
the rest in 4 bytes, and the values as marshal writes them. That is the fastest there is, but it has
no check of its own: a flipped bit would be another value, and `marshal.loads` may do anything with
what `marshal.dumps` did not write. So it never sees other bytes than those.
"""

from __future__ import annotations

import marshal
import sys
import zlib
from pathlib import Path
from typing import Any

from lamina.linux import filesystem

_PYTHON = f"Python {sys.version_info[0]}.{sys.version_info[1]}"  # marshal differs between versions


def write(path: Path, form: str, values: Any, scratch: Path | None = None) -> None:
    """Keep values; `scratch` is that of `filesystem.write_atomic`."""
    data = marshal.dumps(values)
    head = _head(form) + zlib.crc32(data).to_bytes(4, "little")
    filesystem.write_atomic(path, head + data, scratch=scratch)


def read(path: Path, form: str) -> Any:
    """The values that were kept; None where there are none of this form, or damaged ones."""
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
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
