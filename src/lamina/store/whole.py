"""Manifests that are whole: all that they name was here, and nothing was removed since.

A package of many layers is an index of manifests, and two versions of it have nearly all of these
in common. Who pulls the second need not look at each layer again: `whole` lists the manifests whose
content was found here. It counts only together with the token, the name of a file in `removals/`,
which is another one after each removal from the store, and for as long as the machine runs: a power
cut may undo what was written, but the token with it.

What is removed by hand is not noticed here, but when it is mounted: then the package is pulled
again, and looked at blob by blob.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from lamina.core.digest import Digest
from lamina.linux import filesystem

FILE, TOKEN = "whole", "removals"
_MOST = 8192  # manifests that are remembered
_BOOT = "/proc/sys/kernel/random/boot_id"


def removing(folder: Path) -> None:
    """To be called before blobs are removed from the store in a folder."""
    filesystem.make_folder(folder / TOKEN)
    before = list((folder / TOKEN).iterdir())
    # An empty file: also where no room is left something can be removed.
    os.close(filesystem.open_shared(folder / TOKEN / os.urandom(16).hex(), os.O_EXCL))
    for path in before:
        path.unlink(missing_ok=True)


class Whole:
    """The manifests that are whole in a store, as of the time when this is made.

    What it tells holds for a manifest on which there has been a lease since before.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._head = f"{_read(_BOOT)} {_token(folder)}"
        head, _, names = _read(f"{folder}/{FILE}").partition("\n")
        self._known = names.split("\n") if names and head == self._head else []
        self._names = frozenset(self._known)

    def __contains__(self, manifest: Digest) -> bool:
        return manifest.hash in self._names

    def add(self, manifests: Iterable[Digest], scratch: Path) -> None:
        """Remember manifests whose content was found here since this was made."""
        new = [each.hash for each in manifests if each.hash not in self._names]
        if new:
            names = [*new, *self._known][:_MOST]
            data = "\n".join([self._head, *names]).encode()
            filesystem.write_atomic(self._folder / FILE, data, scratch=scratch)


def _token(folder: Path) -> str:
    try:
        return " ".join(sorted(path.name for path in (folder / TOKEN).iterdir()))
    except FileNotFoundError:
        return ""


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return ""
