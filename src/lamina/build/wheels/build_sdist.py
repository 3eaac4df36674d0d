"""Builds a wheel of an sdist, by the backend that the sdist names.

    python build_sdist.py SDIST SHA256 OUTPUT-FOLDER ROOT…

This runs in an action: there is no network, and what the backend needs lies in the package roots.

https://packaging.python.org/specifications/pyproject-toml, PEP 517
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.metadata
import os
import re
import shutil
import site
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_SOURCES = "/tmp/sdist"
_LEGACY = "setuptools.build_meta:__legacy__"


def main(sdist: str, sha256: str, output: str, *roots: str) -> None:
    """Build the wheel; what is wrong ends the program."""
    found = digest(Path(sdist)) if sha256 else ""
    if found != sha256:
        sys.exit(f"it is not what the lock says: expected sha256 {sha256}\nfound sha256 {found}")
    target = Path(output).absolute()
    target.mkdir(parents=True, exist_ok=True)
    places = [Path(root).absolute() for root in roots]
    os.chdir(unpack(Path(sdist), Path(_SOURCES)))
    enter(places)
    system = build_system()
    for path in reversed(system.get("backend-path", [])):
        sys.path.insert(0, str(Path(path).absolute()))
    backend = load(system.get("build-backend", _LEGACY))
    with quiet():
        check(Path(sdist).name, getattr(backend, "get_requires_for_build_wheel", list)())
        wheel = backend.build_wheel(str(target), {})
    for other in target.iterdir():
        if other.name != wheel:
            shutil.rmtree(other, ignore_errors=True)


def digest(path: Path) -> str:
    """The sha256 of a file, which may be large."""
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            hasher.update(piece)
    return hasher.hexdigest()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Let what is printed be seen only where it goes wrong: backends talk a lot."""
    with tempfile.TemporaryFile() as log:
        kept = [os.dup(1), os.dup(2)]
        try:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            yield
        except BaseException:
            log.seek(0)
            os.write(kept[1], log.read())
            raise
        finally:
            os.dup2(kept[0], 1)
            os.dup2(kept[1], 2)


def unpack(sdist: Path, target: Path) -> Path:
    """Unpack an sdist, and return its top folder."""
    target.mkdir(parents=True)
    if zipfile.is_zipfile(sdist):
        with zipfile.ZipFile(sdist) as archive:
            archive.extractall(target)
    else:
        with tarfile.open(sdist) as tar:
            if hasattr(tarfile, "data_filter"):
                tar.extractall(target, filter="data")
            else:
                tar.extractall(target)
    (top,) = target.iterdir()
    return top


def enter(roots: list[Path]) -> None:
    """Let this process, and those it starts, see what is in some package roots."""
    folders = [str(root / "site-packages") for root in roots if (root / "site-packages").is_dir()]
    sys.path[:0] = folders
    for folder in folders:
        site.addsitedir(folder)
    os.environ["PYTHONPATH"] = os.pathsep.join(folders)
    programs = [str(root / "bin") for root in roots]
    os.environ["PATH"] = os.pathsep.join([*programs, os.environ["PATH"]])


def build_system() -> dict[str, Any]:
    """The table `build-system` of the sdist."""
    file = Path("pyproject.toml")
    if not file.exists():
        return {}
    try:
        import tomllib
    except ImportError:  # Python 3.10
        tomllib = importlib.import_module("tomli")
    document = tomllib.loads(file.read_text(encoding="utf-8"))
    found: dict[str, Any] = document.get("build-system", {})
    return found


def load(name: str) -> Any:
    """The object that a backend is."""
    module, _, path = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
    except ImportError as error:
        sys.exit(f"its build backend `{name}` cannot be loaded: {error}")
    for part in filter(None, path.split(".")):
        found = getattr(found, part)
    return found


def check(sdist: str, required: list[str]) -> None:
    """End where the backend asks for what is not there."""
    missing = []
    for text in required:
        name = re.match(r"[A-Za-z0-9._-]+", text.strip())
        try:
            importlib.metadata.version(name[0] if name else text)
        except importlib.metadata.PackageNotFoundError:
            missing.append(text)
    if missing:
        sys.exit(
            f"building `{sdist}` takes {', '.join(missing)}: lock that, and name"
            " it in `builds_with` of `python_requirements`"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
