"""What making a wheel of an sdist takes, as the sdist itself says.

https://packaging.python.org/specifications/pyproject-toml
"""

from __future__ import annotations

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from lamina.core.errors import UserError
from lamina.formats import tomltext

_MOST = 1 << 20  # bytes that a pyproject.toml may have
# What reading an archive raises, or a document that is not made as it should be.
_BROKEN = (
    OSError, tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError,
    ValueError, AttributeError, RuntimeError, NotImplementedError,
)  # fmt: skip
DEFAULT = ("setuptools",)  # of an sdist that says nothing


def requirements(sdist: Path) -> tuple[str, ...]:
    """What the `build-system` of an sdist requires; raises UserError for one that is broken."""
    try:
        with _project_file(sdist) as file:
            data = b"" if file is None else file.read(_MOST)
        document = tomltext.loads(data.decode())
        found = document.get("build-system", {}).get("requires", list(DEFAULT))
    except _BROKEN as error:
        raise UserError(f"the sdist `{sdist.name}` cannot be read: {error}") from error
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise UserError(f"the sdist `{sdist.name}` requires no list of strings: {found!r:.40}")
    return tuple(found)


@contextmanager
def _project_file(sdist: Path) -> Iterator[IO[bytes] | None]:
    """The pyproject.toml at the top of an sdist, if it has one."""
    if zipfile.is_zipfile(sdist):
        with zipfile.ZipFile(sdist) as archive:
            name = next(filter(_is_at_top, archive.namelist()), None)
            yield None if name is None else archive.open(name)
        return
    with tarfile.open(sdist) as tar:
        members = (member for member in tar if member.isfile() and _is_at_top(member.name))
        member = next(members, None)
        yield None if member is None else tar.extractfile(member)


def _is_at_top(name: str) -> bool:
    parts = name.removeprefix("./").split("/")
    return len(parts) == 2 and parts[1] == "pyproject.toml"
