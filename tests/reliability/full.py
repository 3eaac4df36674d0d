"""A disk that becomes full at any write of a command, then has room: as root, by small tmpfs."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lamina.core.digest import Digest
from lamina.store import gc, packages
from lamina.store.local import LocalStore
from tests.reliability import made

_LAYERS = (40_000, 30_000, 5_000)
_BUILD = """
python_library(name = "words", srcs = ["words.py"], resources = ["data.bin"])
python_binary(name = "main", srcs = ["main.py"], deps = [":words"])
"""
_ENOUGH = "16m"


@dataclass(frozen=True, slots=True)
class Ground:
    """Where all is made and nothing is full: a package in a store and in a folder."""

    folder: Path
    source: LocalStore
    digest: Digest
    workspace: Path

    @property
    def given(self) -> str:
        return f"oci:{self.folder}/given:v1"


def ground(folder: Path) -> Ground:
    """A package, and a workspace that another one can be made from."""
    source = LocalStore(folder / "source")
    digest = made.push(source, f"oci:{folder}/given", "v1", _LAYERS, 1)
    workspace = folder / "workspace"
    workspace.mkdir()
    (workspace / "lamina.toml").touch()
    (workspace / "BUILD").write_text(_BUILD)
    (workspace / "data.bin").write_bytes(source.read(packages.read(digest, source).layers[0].blob))
    (workspace / "words.py").write_text("WORD = 'here'\n")
    (workspace / "main.py").write_text("import words\nprint(words.WORD)\n")
    return Ground(folder, source, digest, workspace)


@contextlib.contextmanager
def disk(at: Path, size: str) -> Iterator[Callable[[str], None]]:
    """A small disk, which can be given another size."""
    at.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(at)], check=True)
    try:
        yield lambda other: _resize(at, other)
    finally:
        subprocess.run(["umount", str(at)], check=True)


def _resize(at: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(at)], check=True)


@dataclass(frozen=True, slots=True)
class _Command:
    """What is run, with which store, and what is wrong once it has succeeded."""

    store: Path
    words: tuple[str, ...]
    wrong: Callable[[], str]
    at: Path | None = None


def _push(made_at: Ground, at: Path, number: str) -> _Command:
    place = f"oci:{at}/r"
    return _Command(
        made_at.source.folder,
        ("push", "p/a:v1", f"{place}:v1"),
        lambda: _pulled(made_at, place, at / "r", number),
    )


def _copy(made_at: Ground, at: Path, number: str) -> _Command:
    place = f"oci:{at}/r"
    return _Command(
        made_at.folder / f"through-{number}",
        ("copy", made_at.given, f"{place}:v1"),
        lambda: _pulled(made_at, place, at / "r", number),
    )


def _through(made_at: Ground, at: Path, number: str) -> _Command:
    """A copy whose store is full, on the way to where there is room."""
    folder = made_at.folder / f"copied-{number}"
    return _Command(
        at / "store",
        ("copy", made_at.given, f"oci:{folder}:v1"),
        lambda: _pulled(made_at, f"oci:{folder}", folder, number) or _unsound(at / "store"),
    )


def _pull(made_at: Ground, at: Path, _number: str) -> _Command:
    return _Command(
        at / "store",
        ("pull", made_at.given),
        lambda: _unsound(at / "store", made_at.digest),
    )


def _package(made_at: Ground, at: Path, _number: str) -> _Command:
    def wrong() -> str:
        code, told = made.run(at / "store", "exec", "main:v1")
        return "" if (code, told) == (0, "here\n") else told

    words = ("package", "//:main", "--version", "v1")
    return _Command(
        at / "store", words, lambda: wrong() or _unsound(at / "store"), made_at.workspace
    )


COMMANDS: dict[str, Callable[[Ground, Path, str], _Command]] = {
    "push": _push,
    "copy": _copy,
    "copy-through": _through,
    "pull": _pull,
    "package": _package,
}


def fill(made_at: Ground, what: str, sizes: Sequence[int]) -> tuple[int, list[str]]:
    """Run a command on disks of so many KiB; how often it was full, and what was wrong."""
    full, wrong = 0, []
    at = made_at.folder / "disk"
    for kib in sizes:
        command = COMMANDS[what](made_at, at, f"{what}-{kib}")
        with disk(at, f"{kib}k") as resize:
            code, told = made.run(command.store, *command.words, at=command.at)
            if code:
                full += 1
                # `no space is left …`, or the system's `No space left …`.
                if code != 2 or "Traceback" in told or "pace" not in told:
                    wrong.append(f"{what}, {kib} KiB: exit code {code}: {told}")
            resize(_ENOUGH)
            if command.store.exists() and (fault := _unsound(command.store)):
                wrong.append(f"{what}, {kib} KiB: {fault}")
            code, told = made.run(command.store, *command.words, at=command.at)
            fault = told if code else command.wrong()
            if fault:
                wrong.append(f"{what}, {kib} KiB, then more: {fault}")
    return full, wrong


def collect(made_at: Ground, left: int) -> str:
    """What is wrong when garbage is collected where so many KiB are left; a package runs before."""
    at = made_at.folder / "disk"
    store = at / "store"
    with disk(at, "1m") as resize:
        code, told = made.run(store, "package", "//:main", "--version", "v1", at=made_at.workspace)
        if code:
            return told
        with (at / "filler").open("wb") as file, contextlib.suppress(OSError):
            file.write(bytes(2 << 20))
        with (at / "filler").open("rb+") as file:
            file.truncate((at / "filler").stat().st_blocks * 512 - left * 1024)
        ran = made.run(store, "exec", "main:v1")
        swept = made.run(store, "cache", "gc", "--max-size", "0")
        resize("2m")
        again = made.run(store, "package", "//:main", "--version", "v1", at=made_at.workspace)
        if (ran, swept[0], again[0]) != ((0, "here\n"), 0, 0):
            return f"{left} KiB left: {ran} {swept} {again}"
        return _unsound(store)


def _pulled(made_at: Ground, place: str, folder: Path, number: str) -> str:
    """What is wrong with a folder that a package is to be in."""
    far = made_at.folder / f"far-{number}"
    code, told = made.run(far, "pull", f"{place}:v1")
    if code:
        return told
    left = {each.name for each in folder.iterdir() if "tmp" in each.name} - {".lamina.tmp.lock"}
    return f"left {left}" if left else _unsound(far, made_at.digest)


def _unsound(folder: Path, package: Digest | None = None) -> str:
    """What is wrong with a store."""
    store = LocalStore(folder)
    try:
        if wrong := gc.verify(store).wrong:
            return f"wrong blobs: {wrong}"
        if package is not None and not packages.is_whole(package, store):
            return "the package is not whole"
    finally:
        store.close()
    left = [str(each) for each in (folder / "tmp").glob("*/*")]
    return f"left {left}" if left else ""
