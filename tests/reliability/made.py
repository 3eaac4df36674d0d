"""Packages for the trials: a few layers of random bytes, pushed to a repository."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from lamina.core import reference
from lamina.core.digest import Digest
from lamina.core.manifest import Layer, Package
from lamina.packaging import publish
from lamina.store import packages
from lamina.store.local import LocalStore
from lamina.store.repositories import open_repository
from lamina.store.transport import Access

_SOURCE = Path(__file__).parents[2] / "src"
_BUILD = """
python_library(name = "words", srcs = ["words.py"])
python_binary(name = "main", srcs = ["main.py"], deps = [":words"])
"""
_MOST = 64 << 20  # bytes at once


def push(store: LocalStore, place: str, version: str, sizes: Sequence[int], seed: int) -> Digest:
    """Push a package whose layers have these sizes, with the version as its tag."""
    chance = random.Random(seed)
    layers = []
    for number, size in enumerate(sizes):
        pieces = [chance.randbytes(min(_MOST, size - at)) for at in range(0, size, _MOST)]
        blob = store.write(b"".join(pieces))
        layers.append(Layer(f"//p:t{number}", blob, blob))
    digest = packages.put(Package("p/a", version, "//p:a", tuple(layers), ("a",)), store)
    repository = open_repository(reference.parse(place), Access())
    try:
        publish.push(digest, store, repository, version)
    finally:
        repository.close()
    return digest


def programs(folder: Path, *versions: str) -> str:
    """Push the package `main` in some versions, which prints its version and the time; where to."""
    workspace = folder / "workspace"
    workspace.mkdir()
    (workspace / "lamina.toml").touch()
    (workspace / "BUILD").write_text(_BUILD)
    (workspace / "main.py").write_text("import time, words\nprint(words.WORD, time.time())\n")
    place = f"oci:{folder}/programs"
    for version in versions:
        (workspace / "words.py").write_text(f"WORD = '{version}'\n")
        words = ("push", "//:main", f"{place}:{version}", "--version", version)
        code, told = run(folder / "dev", *words, at=workspace)
        assert code == 0, told
    return place


def start(
    store: Path,
    *words: str,
    user: int | None = None,
    at: Path | None = None,
    stderr: int = subprocess.PIPE,
    by: Sequence[str] = (),
    umask: int = -1,
    **given: str,
) -> subprocess.Popen[str]:
    """Start `lamina` with a store, and more of the environment; a user is in group 40000.

    `by` is a program that starts it.
    """
    return subprocess.Popen(
        [*by, _python(user), "-m", "lamina.cli", *words],
        cwd=at,
        env={**os.environ, "LAMINA_STORE": str(store), "PYTHONPATH": _path(), **given},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        user=user,
        group=None if user is None else 40_000,
        extra_groups=None if user is None else [],
        umask=umask,
    )


def _python(user: int | None) -> str:
    # The one of the tests may lie in a folder that nobody else may enter.
    return sys.executable if user is None else "/usr/bin/python3"


def _path() -> str:
    return os.pathsep.join((str(_SOURCE), *(each for each in sys.path if "site-packages" in each)))


def run(
    store: Path,
    *words: str,
    user: int | None = None,
    at: Path | None = None,
    by: Sequence[str] = (),
    umask: int = -1,
    **given: str,
) -> tuple[int, str]:
    """Run `lamina`; its exit code, and what it printed on both streams."""
    child = start(
        store, *words, user=user, at=at, stderr=subprocess.PIPE, by=by, umask=umask, **given
    )
    out, told = child.communicate(timeout=120)
    return child.returncode, out + told
