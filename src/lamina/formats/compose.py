"""Composing: what several layers show as a stack, by the rule of overlayfs, without a mount.

Of two files the upper counts, folders show the entries of both with the attributes of the upper,
and of a file and a folder the upper hides the other. A character device 0:0 hides what has its name
below, an opaque folder all that lies in it below.

https://docs.kernel.org/filesystems/overlayfs.html
"""

from __future__ import annotations

from collections.abc import Sequence

from lamina.core.classes import replace
from lamina.formats.inodes import File, Folder, Node, Special


def composed(layers: Sequence[Folder], *, is_bottom: bool) -> Folder:
    """The stack of some layers, bottom first, whose files tell by `image` which they are from.

    Unless these are the lowest of all, it keeps the marks of what they hide in those below.
    """
    found = _of(layers[0], 0)
    for number, layer in enumerate(layers[1:], 1):
        found = _over(found, _of(layer, number))
    return _settled(found) if is_bottom else found


def _of(folder: Folder, image: int) -> Folder:
    entries: dict[bytes, Node] = {}
    for name, node in folder.entries.items():
        if isinstance(node, Folder):
            entries[name] = _of(node, image)
        elif isinstance(node, File):
            entries[name] = replace(node, image=image)
        else:
            entries[name] = node
    return replace(folder, entries=entries)


def _over(lower: Folder, upper: Folder) -> Folder:
    entries = dict(lower.entries)
    for name, node in upper.entries.items():
        below = lower.entries.get(name)
        if not isinstance(node, Folder) or below is None or node.opaque:
            entries[name] = node
        elif isinstance(below, Folder):
            entries[name] = _over(below, node)
        else:
            # What is no folder ends the search for more: what lies lower still stays hidden.
            entries[name] = replace(node, opaque=True)
    return replace(upper, entries=dict(sorted(entries.items())), opaque=lower.opaque)


def _settled(folder: Folder) -> Folder:
    """The folder as it is seen, without marks."""
    entries: dict[bytes, Node] = {}
    for name, node in folder.entries.items():
        if isinstance(node, Folder):
            entries[name] = _settled(node)
        elif not isinstance(node, Special) or not node.is_whiteout:
            entries[name] = node
    return replace(folder, entries=entries, opaque=False)
