"""A build package after loading: its targets, and all that was looked at to know them."""

from __future__ import annotations

from collections.abc import Mapping

from lamina.build.glob import Glob
from lamina.build.target import Target
from lamina.core.classes import dataclass


@dataclass(frozen=True, slots=True)
class BuildPackage:
    """A folder with a BUILD file, after loading; all paths are relative to the root."""

    name: str  # its path in its cell
    cell: str
    folder: str
    build_file: str
    targets: Mapping[str, Target]  # in the order of the file
    generated: Mapping[str, Target]  # output file -> the target that makes it
    exports: Mapping[str, tuple[str, ...]]  # source file -> its visibility
    loads: tuple[str, ...]  # the .bzl files it loads, and those that they load, sorted
    globs: tuple[Glob, ...]
    inputs: frozenset[str]  # files read
    directories: frozenset[str]  # folders listed, also ones that do not exist
    ordinals: Mapping[str, int]  # target -> number of its rule call, to find its place
