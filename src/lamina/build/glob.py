"""`glob()`: the files of a build package that patterns choose, never those of build packages below.

`*`, `?` and `[...]` stay within one segment of a path; `**` stands for any number of folders.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from lamina.build.disk import View, join
from lamina.core.classes import dataclass

_WILD = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Glob:
    """One call of `glob()` and what it gave."""

    include: tuple[str, ...]
    exclude: tuple[str, ...]
    files: tuple[str, ...]  # relative to the build package, sorted


def fault_of(pattern: str) -> str:
    """What is wrong with a pattern, or ""."""
    segments = pattern.split("/")
    if pattern.startswith(("/", ":", "@")):
        return "patterns are relative to the build package and name files, not labels"
    if any(segment in ("", ".", "..") for segment in segments):
        return "patterns do not contain `..`, `.` or empty segments"
    if any("**" in segment and segment != "**" for segment in segments):
        return "`**` stands alone between slashes, as in `**/*.py`"
    return ""


def expand(
    view: View,
    package: str,
    include: Sequence[str],
    exclude: Sequence[str] = (),
    folders_too: bool = False,
) -> Glob:
    """The files (and folders, if asked) that a pattern includes and none excludes, sorted."""
    found = {path for text in include for path in _walk(view, package, text, folders_too)}
    unwanted = [text.split("/") for text in exclude]
    files = sorted(p for p in found if not any(_matches(p.split("/"), u) for u in unwanted))
    return Glob(tuple(include), tuple(exclude), tuple(files))


def _walk(view: View, package: str, pattern: str, folders_too: bool) -> Iterator[str]:
    """What one pattern chooses, some perhaps twice; paths relative to the build package."""
    waiting = [("", pattern.split("/"))]
    while waiting:
        here, segments = waiting.pop()
        first, rest = segments[0], segments[1:]
        listing = view.folder(join(package, here))
        if first == "**":
            waiting.append((here, rest or ["*"]))
            waiting.extend(
                (join(here, name), segments)
                for name in listing.folders - listing.links
                if not view.is_separate(join(package, join(here, name)))
            )
            continue
        folders = [
            join(here, name)
            for name in _chosen(listing.folders, first)
            if not view.is_separate(join(package, join(here, name)))
        ]
        if rest:
            waiting.extend((folder, rest) for folder in folders)
        else:
            yield from (join(here, name) for name in _chosen(listing.files, first))
            yield from folders if folders_too else ()


def _chosen(names: frozenset[str], segment: str) -> list[str]:
    if not _WILD.search(segment):
        return [segment] if segment in names else []
    expression = _expression(segment)
    return [name for name in names if expression.match(name)]


def matches(path: str, pattern: str) -> bool:
    """Whether a pattern chooses a path."""
    return _matches(path.split("/"), pattern.split("/"))


def _matches(path: list[str], pattern: list[str]) -> bool:
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(_matches(path[skip:], pattern[1:]) for skip in range(len(path) + 1))
    return bool(path and _expression(pattern[0]).match(path[0]) and _matches(path[1:], pattern[1:]))


@lru_cache(maxsize=4096)
def _expression(segment: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(segment))
