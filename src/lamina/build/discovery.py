"""Finds the build packages below a folder."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.build.disk import WORKSPACE_FILE, View, join


def build_packages(view: View, folder: str = "") -> Iterator[str]:
    """The build packages at and below a folder, sorted.

    Does not enter hidden and ignored folders, symbolic links, version control, `lamina-out` and
    nested workspaces (folders with their own `lamina.toml`).
    """
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        listing = view.folder(here)
        if here != folder and WORKSPACE_FILE in listing.files:
            continue
        if view.build_file(here):
            yield here
        below = [join(here, name) for name in listing.folders - listing.links]
        # A stack: the last pushed is visited first.
        waiting.extend(sorted((path for path in below if not view.is_hidden(path)), reverse=True))
