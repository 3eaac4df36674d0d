"""Outputs that are symlinks to what only the action saw become what they point to.

Commands such as `ln -s $< $@` are common; what they leave would point nowhere once it lies apart.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping

from lamina.core.action import OUTPUT_FOLDER
from lamina.core.tree import File, Node, Symlink

_STEPS = 40  # as many links in a row as Linux follows


def resolved(
    made: Mapping[str, Node], inputs: Mapping[str, Node], declared: Iterable[str], work: str
) -> dict[str, Node]:
    """What an action made in its folder of outputs, by path, where it ran in the folder `work`.

    A declared output that links to a file which is an input, or none of the outputs, is that file.
    Links to other outputs, to folders and out of `work` stay, and so do those inside of folders.
    """
    links = [path for path in declared if isinstance(made.get(path), Symlink)]
    if not links:
        return dict(made)
    seen = {**inputs, **{f"{OUTPUT_FOLDER}/{path}": node for path, node in made.items()}}
    outputs = {f"{OUTPUT_FOLDER}/{path}" for path in declared}
    files = {path: _file(f"{OUTPUT_FOLDER}/{path}", seen, outputs, work) for path in links}
    return {**made, **{path: file for path, file in files.items() if file is not None}}


def _file(path: str, seen: Mapping[str, Node], outputs: Iterable[str], work: str) -> File | None:
    """The file that a link leads to; None where it is to stay."""
    for _ in range(_STEPS):
        node = seen.get(path)
        if isinstance(node, File):
            return node
        if not isinstance(node, Symlink):
            return None
        target = posixpath.normpath(posixpath.join(work, posixpath.dirname(path), node.target))
        if not target.startswith(f"{work}/"):
            return None
        path = target.removeprefix(f"{work}/")
        if path in outputs:
            return None
    return None
