"""Where this user's mounts, containers and records of them lie; nothing dear is imported here."""

from __future__ import annotations

import os
import stat

from lamina.core.errors import HostError


def folder() -> str:
    """The folder; made if need be, and safe to use. Raises HostError where it is not."""
    if os.geteuid() == 0:
        return _private("/run/lamina", 0o755)
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.access(runtime, os.W_OK):
        return _private(f"{runtime.rstrip('/')}/lamina", 0o700)
    return _private(f"/tmp/lamina-{os.geteuid()}", 0o700)


def _private(path: str, mode: int) -> str:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        os.makedirs(path, mode, exist_ok=True)  # noqa: PTH103 - pathlib is dear
        found = os.lstat(path)
    writable = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or writable:
        raise HostError(
            f"`{path}` is not a folder that only you can change",
            hint="look who made it, and remove it",
        )
    return path
