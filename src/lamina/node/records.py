"""Records of the mounts that stay: what was planned, written before anything is mounted.

One JSON file per mount, `<state>/records/<sha256 of the mount point, 16 digits>.json`. A crash
half-way leaves the record, and with it `lamina umount` finds and undoes what was done.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from lamina.core.errors import HostError
from lamina.linux import filesystem


@dataclass(frozen=True, slots=True)
class Mounted:
    """A mount that stays until `lamina umount`."""

    title: str  # `<name>-<version>` of the package
    where: Path
    images: tuple[Path, ...]  # bottom first
    driver: str
    made: bool = False  # the folder was made for it, and goes with it

    def __str__(self) -> str:
        return str(self.where)


def state() -> Path:
    """The folder of this user's mounts and records; made if need be, and safe to use."""
    if os.geteuid() == 0:
        return _private(Path("/run/lamina"), 0o755)
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.access(runtime, os.W_OK):
        return _private(Path(runtime, "lamina"), 0o700)
    return _private(Path(f"/tmp/lamina-{os.geteuid()}"), 0o700)


def _private(folder: Path, mode: int) -> Path:
    folder.mkdir(mode=mode, parents=True, exist_ok=True)
    found = folder.lstat()
    writable = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or writable:
        raise HostError(
            f"`{folder}` is not a folder that only you can change",
            hint="look who made it, and remove it",
        )
    return folder


def write(record: Mounted) -> None:
    """Keep a record, in the place of an older one of the same mount point."""
    fields = dataclasses.asdict(record)
    filesystem.write_atomic(_file(record.where), json.dumps(fields, default=str).encode())


def remove(record: Mounted) -> None:
    """Forget a mount that is undone."""
    _file(record.where).unlink(missing_ok=True)


def every() -> list[Mounted]:
    """All records of this user, by mount point."""
    files = sorted((state() / "records").glob("*.json"))
    return sorted(filter(None, map(_read, files)), key=lambda record: record.where)


def _file(where: Path) -> Path:
    name = hashlib.sha256(os.fsencode(where)).hexdigest()[:16]
    return state() / "records" / f"{name}.json"


def _read(file: Path) -> Mounted | None:
    """A record; None for one that a power cut has left half, and whose mount is gone with it."""
    try:
        fields = json.loads(file.read_bytes())
        return Mounted(
            title=str(fields["title"]),
            where=Path(fields["where"]),
            images=tuple(map(Path, fields["images"])),
            driver=str(fields["driver"]),
            made=bool(fields["made"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError, FileNotFoundError):
        return None
