"""Looking into images of layers without mounting them."""

from __future__ import annotations

from pathlib import Path

from lamina.core.classes import dataclass
from lamina.core.errors import IntegrityError
from lamina.formats import squashreader
from lamina.formats.inodes import Folder
from lamina.node import mounts


@dataclass(frozen=True, slots=True)
class Inside:
    """What is in an image."""

    root: Folder
    reader: squashreader.Image


def look(path: Path) -> Inside | None:
    """What is in an image; None where only the tools for its kind can tell.

    Raises IntegrityError naming it.
    """
    with mounts.opened(path) as image:
        if image.kind != mounts.SQUASHFS:
            return None
        try:
            reader = squashreader.Image(image.descriptor, image.offset)
            return Inside(reader.root(), reader)
        except squashreader.UnknownCompressor:
            return None
        except IntegrityError as error:
            raise IntegrityError(f"`{path}`: {error.message}", hint=error.hint) from error
