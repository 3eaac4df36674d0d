"""Cells that are archives: fetched, unpacked and patched when a file of theirs is first wanted.

Each lies in a folder of the store, whose name tells all that it was made of; so it is made once,
and what is there is whole. It holds copies: who writes there spoils no blob.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from lamina.core.classes import dataclass
from lamina.core.errors import LaminaError, UserError
from lamina.linux import filesystem, process
from lamina.store import local

TEXTS = ("url", "sha256", "strip_prefix", "type", "build_file")
LISTS = ("urls", "patches", "patch_args", "excludes")
_FOLDER = "cells"  # in the store
_making = threading.Lock()


class CellMissing(LaminaError):
    """A cell cannot be had; the exit code is that of the fault behind it."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A cell by what it is made of."""

    name: str
    urls: tuple[str, ...]
    sha256: str
    strip_prefix: str = ""
    type: str = ""
    excludes: tuple[str, ...] = ()
    patches: tuple[str, ...] = ()  # absolute
    patch_args: tuple[str, ...] = ()

    def folder(self) -> str:
        """Where it lies once it is there; what its patches hold is part of the name."""
        texts = [_content(patch) for patch in self.patches]
        made_of = [self.sha256, self.strip_prefix, self.type, self.excludes, texts, self.patch_args]
        key = sha256(json.dumps(made_of).encode()).hexdigest()[:16]
        return f"{local.default_folder()}/{_FOLDER}/{self.name}-{key}"


def read(name: str, setting: Mapping[str, Any], path: Callable[[str], str]) -> Fetched:
    """The cell that a table of `lamina.toml` describes; `path` tells where a file is."""
    url = setting.get("url")
    return Fetched(
        name=name,
        urls=(*([url] if url else []), *setting.get("urls", ())),
        sha256=setting["sha256"].lower(),
        strip_prefix=setting.get("strip_prefix", ""),
        type=setting.get("type", ""),
        excludes=tuple(setting.get("excludes", ())),
        patches=tuple(path(patch) for patch in setting.get("patches", ())),
        patch_args=tuple(setting.get("patch_args", ("-p1",))),
    )


def ensure(cell: Fetched, folder: str) -> None:
    """See to it that a cell is in its folder; raises CellMissing."""
    if Path(folder).is_dir():
        return
    with _making:
        if not Path(folder).is_dir():
            try:
                _make(cell, Path(folder))
            except LaminaError as error:
                fault = CellMissing(f"cell `{cell.name}`: {error.message}", hint=error.hint)
                fault.exit_code = error.exit_code
                raise fault from error


def _make(cell: Fetched, folder: Path) -> None:
    from lamina.store.download import Downloader, Wanted
    from lamina.store.unpack import Unpacking, lay_out, unpack

    store = local.LocalStore(local.default_folder())
    try:
        digest = Downloader(store).fetch(Wanted(cell.urls, cell.sha256))
        how = Unpacking(cell.type, cell.strip_prefix, cell.excludes)
        new = store.scratch / "cell"
        lay_out(unpack(digest, how, store), new, store)
        for patch in cell.patches:
            _apply(patch, cell.patch_args, new)
        filesystem.make_folder(folder.parent)
        try:
            new.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process has made the same meanwhile
                raise
    finally:
        store.close()


def _apply(patch: str, arguments: tuple[str, ...], folder: Path) -> None:
    words = ("--force", "--no-backup-if-mismatch", "--reject-file=-", *arguments, "-i", patch)
    done = process.run("patch", *words, cwd=folder, ok=(0, 1, 2))
    if done.returncode:
        said = (done.stdout + done.stderr).decode(errors="replace").strip()
        raise UserError(
            f"`{patch}` does not fit:\n{said}",
            hint='`patch_args` says how names in it are to be read, as in `["-p1"]`',
        )


def _content(patch: str) -> str:
    """What names the content of a patch; one that is not there is told of when it is needed."""
    try:
        return sha256(Path(patch).read_bytes()).hexdigest()
    except OSError:
        return ""
