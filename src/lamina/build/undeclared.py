"""Tells which undeclared file a failed action looked for.

A sandboxed action simply does not find a file that is not among its inputs. What it printed names
the file; if that file exists in the workspace, the real fault is a missing dependency.
"""

from __future__ import annotations

import os
import re
from collections.abc import Container, Iterator
from pathlib import Path, PurePosixPath

_MISSING = re.compile(
    r"no such file|not found|cannot find|can't find|can't open|cannot open|enoent|does not exist",
    re.IGNORECASE,
)
_PATH = re.compile(r"[\w@%+=./-]+")
_INCLUDE = re.compile(r"fatal error: '?([^':]+)(?:: No such file|' file not found)")
_MOST = 200_000  # files that are looked through for a header
_MODULE = re.compile(r"No module named '([\w.]+)'")


def find(printed: str, root: Path, package: str, inputs: Container[str]) -> list[str]:
    """Files of the workspace that the output complains of not finding, in order, each once.

    `package` is the build package that relative names may start from. Paths outside of the
    workspace are returned too where they exist on this machine, as absolute paths.
    """
    found: dict[str, None] = {}
    for line in printed.splitlines():
        names = [module.replace(".", "/") + ".py" for module in _MODULE.findall(line)]
        if _MISSING.search(line):
            names += _PATH.findall(line)
        for name in names:
            path = _locate(name.rstrip(".:"), root, package)
            if path is not None and path not in inputs:
                found[path] = None
    if not found:
        found = {path: None for name in _INCLUDE.findall(printed) for path in _headers(name, root)}
    return [path for path in found if path not in inputs]


def _headers(name: str, root: Path) -> list[str]:
    """The header that is meant, where one file of the workspace alone can be: it is included by a
    part of its path, or by a name that its library gives it."""
    parts = PurePosixPath(name).parts
    for wanted in dict.fromkeys(("/".join(parts), "/".join(parts[-2:]))):
        if wanted.count("/") or len(parts) == 1:
            matching = [
                path for path in _files(root, parts[-1]) if f"/{path}".endswith(f"/{wanted}")
            ]
            if matching:
                return matching if len(matching) == 1 else []
    return []


def _files(root: Path, name: str) -> Iterator[str]:
    """The files of a name, by path from the root; hidden folders and outputs are passed by."""
    seen = 0
    for parent, folders, files in os.walk(root):
        folders[:] = sorted(each for each in folders if each[0] != "." and each != "lamina-out")
        seen += len(files)
        if seen > _MOST:
            return
        if name in files:
            yield (Path(parent) / name).relative_to(root).as_posix()


def _locate(name: str, root: Path, package: str) -> str | None:
    if not name or "/../" in f"/{name}/":
        return None
    if name.startswith("/"):
        return _absolute(PurePosixPath(name), root)
    name = name.removeprefix("./")
    for candidate in dict.fromkeys((name, f"{package}/{name}" if package else name)):
        if (root / candidate).is_file():
            return candidate
    return None


def _absolute(path: PurePosixPath, root: Path) -> str | None:
    if path.is_relative_to("/work"):
        return _locate(str(path.relative_to("/work")), root, "")
    if path.is_relative_to(root):
        relative = str(path.relative_to(root))
        return relative if (root / relative).is_file() else None
    system = ("/usr", "/bin", "/lib", "/proc", "/dev", "/tmp")
    hidden = not any(path.is_relative_to(folder) for folder in system)
    return str(path) if hidden and Path(path).is_file() else None
