"""Unpacks a wheel into a folder as an installer would, and compiles its modules.

    python unpack_wheel.py WHEEL-OR-FOLDER SHA256 TARGET TEMPLATE PATTERN…

This runs in an action, with the library `installer` beside it. The first argument may be a folder
with one wheel in it, and the digest may be empty. Files that match a pattern are left out.

https://packaging.python.org/specifications/binary-distribution-format
"""

from __future__ import annotations

import ast
import fnmatch
import hashlib
import io
import os
import py_compile
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from installer import install
from installer.destinations import SchemeDictionaryDestination
from installer.records import RecordEntry
from installer.sources import WheelFile
from installer.utils import Scheme

SITE = "site-packages"
SCRIPTS = ".lamina/scripts"  # where those lie that a wheel has ready made
_MODULES = ("purelib", "platlib")

# In the place of all that has the same meaning: distributions of one namespace must agree on it.
_NAMESPACE = b'__path__ = __import__("pkgutil").extend_path(__path__, __name__)\n'
_SAYS_NAMESPACE = ("extend_path", "declare_namespace")
_OF_NAMESPACE = {"pkgutil", "pkg_resources", "modulefinder"}


class Destination(SchemeDictionaryDestination):
    """A package root: modules in `site-packages/`, programs in `bin/`."""

    def __init__(self, root: str, name: str, template: bytes, exclude: Iterable[str]) -> None:
        self.root = root
        self.template = template
        self.exclude = tuple(exclude)
        self.left_out: set[str] = set()
        schemes = {
            **dict.fromkeys(_MODULES, f"{root}/{SITE}"),
            "scripts": f"{root}/bin",
            "headers": f"{root}/include/{name}",
            "data": root,
        }
        super().__init__(schemes, sys.executable, "posix", overwrite_existing=True)

    def write_file(
        self, scheme: Scheme, path: str | os.PathLike[str], stream: BinaryIO, is_executable: bool
    ) -> RecordEntry:
        """Write a file; scripts get a launcher, packages that are namespaces one and the same."""
        path = os.fspath(path)
        if scheme in _MODULES and any(fnmatch.fnmatch(path, each) for each in self.exclude):
            self.left_out.add(path)
            return RecordEntry(path, None, None)
        if scheme == "scripts":
            return self._write_own_script(path, stream)
        if scheme in _MODULES and path.endswith("/__init__.py"):
            data = stream.read()
            stream = io.BytesIO(_NAMESPACE if is_namespace(data) else data)
        return self.write_to_fs(scheme, path, stream, is_executable)

    def write_script(self, name: str, module: str, attr: str, section: str) -> RecordEntry:
        """Write the program of an entry point, be it for a console or for a desktop."""
        del section
        first = attr.partition(".")[0]
        return self._launcher(name, f"from {module} import {first}\n    sys.exit({attr}())")

    def _write_own_script(self, path: str, stream: BinaryIO) -> RecordEntry:
        data = stream.read()
        if not data.startswith(b"#!python"):
            return self.write_to_fs(Scheme("scripts"), path, io.BytesIO(data), True)
        kept = Path(self.root, SCRIPTS, path)
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(data)
        place = f"/{SCRIPTS}/{path}"
        return self._launcher(
            path, f"import runpy\n    runpy.run_path(root + {place!r}, run_name='__main__')"
        )

    def _launcher(self, name: str, code: str) -> RecordEntry:
        data = self.template.replace(b"@CODE@", code.encode())
        return self.write_to_fs(Scheme("scripts"), name, io.BytesIO(data), True)

    def finalize_installation(
        self, scheme: Scheme, record_file_path: str, records: Iterable[tuple[Scheme, RecordEntry]]
    ) -> None:
        """Write RECORD, then compile what can be."""
        kept = [
            (each, record)
            for each, record in records
            if not (each in _MODULES and record.path in self.left_out)
        ]
        super().finalize_installation(scheme, record_file_path, kept)
        for each, record in kept:
            if each in _MODULES and record.path.endswith(".py"):
                compile_module(f"{self.root}/{SITE}/{record.path}", record.path)


def compile_module(path: str, shown: str) -> None:
    """Compile a module; wheels also hold files for other versions of Python, and templates."""
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    try:
        py_compile.compile(path, dfile=shown, doraise=True, invalidation_mode=mode)
    except (py_compile.PyCompileError, ValueError, RecursionError, MemoryError):
        return  # it is never imported, or tells of itself then


def is_namespace(data: bytes) -> bool:
    """Whether a package's module does nothing but let other folders be part of the package."""
    if not any(word.encode() in data for word in _SAYS_NAMESPACE):
        return False
    try:
        return all(map(_is_of_namespace, ast.parse(data).body))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def _is_of_namespace(node: ast.stmt) -> bool:
    if isinstance(node, ast.Try):
        inner = [*node.body, *node.orelse, *node.finalbody]
        inner += [each for handler in node.handlers for each in handler.body]
        return all(map(_is_of_namespace, inner))
    if isinstance(node, ast.Pass):
        return True
    if isinstance(node, ast.Import):
        return all(each.name in _OF_NAMESPACE for each in node.names)
    if isinstance(node, ast.ImportFrom):
        return node.module in _OF_NAMESPACE or node.module == "__future__"
    if isinstance(node, ast.Assign):
        return all(isinstance(each, ast.Name) and each.id == "__path__" for each in node.targets)
    if isinstance(node, ast.Expr):
        words = ast.dump(node)
        return isinstance(node.value, ast.Constant) or "declare_namespace" in words
    return False


def main(wheel: str, sha256: str, target: str, template: str, *exclude: str) -> None:
    """Unpack a wheel; what is wrong with it ends the program."""
    path = Path(wheel)
    if path.is_dir():
        (path,) = path.glob("*.whl")
    found = digest(path) if sha256 else ""
    if found != sha256:
        sys.exit(f"it is not what the lock says: expected sha256 {sha256}\nfound sha256 {found}")
    shown = path.name
    try:
        with zipfile.ZipFile(path) as archive:
            _check_names(archive)
            source = WheelFile(archive)
            source.validate_record()
            launcher = Path(template).read_bytes()
            destination = Destination(target, source.distribution, launcher, exclude)
            install(source, destination, {"INSTALLER": b"lamina\n"})
    except WheelFile.validation_error as error:
        issues = [issue.replace(f"In {path}, ", "") for issue in getattr(error, "issues", [])]
        sys.exit("\n".join([f"`{shown}` is not what its RECORD says:", *issues[:10]]))
    except (zipfile.BadZipFile, ValueError, KeyError, AssertionError, OSError) as error:
        sys.exit(f"`{shown}` is no wheel that can be unpacked: {error}")


def digest(path: Path) -> str:
    """The sha256 of a file, which may be large."""
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            hasher.update(piece)
    return hasher.hexdigest()


def _check_names(archive: zipfile.ZipFile) -> None:
    for name in archive.namelist():
        parts = name.removesuffix("/").split("/")
        if not all(parts) or any(part in (".", "..") for part in parts):
            sys.exit(f"the wheel has a file that leads out of it: {name}")


if __name__ == "__main__":
    main(*sys.argv[1:])
