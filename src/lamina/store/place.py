"""Where the store of this machine lies; nothing dear is imported here."""

from __future__ import annotations

import os


def folder() -> str:
    """`$LAMINA_STORE`, else `lamina` in the user's cache folder: an absolute path."""
    if given := os.environ.get("LAMINA_STORE"):
        return os.path.abspath(given)  # noqa: PTH100 - pathlib is dear, here and below
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    return f"{os.path.abspath(cache)}/lamina"  # noqa: PTH100
