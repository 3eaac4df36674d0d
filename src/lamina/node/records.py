"""Records of the mounts that stay: what was planned, written before anything is mounted.

One JSON file per mount, `<state>/records/<sha256 of the mount point, 16 digits>.json`. A crash
half-way leaves the record, and with it `lamina umount` finds and undoes what was done.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from lamina.core.classes import asdict, dataclass
from lamina.linux import filesystem
from lamina.node import state


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


def _folder() -> Path:
    return Path(state.folder(), "records")


def write(record: Mounted) -> None:
    """Keep a record, in the place of an older one of the same mount point."""

    fields = asdict(record)
    filesystem.write_atomic(_file(record.where), json.dumps(fields, default=str).encode())


def remove(record: Mounted) -> None:
    """Forget a mount that is undone."""
    _file(record.where).unlink(missing_ok=True)


def every() -> list[Mounted]:
    """All records of this user, by mount point."""
    files = sorted(_folder().glob("*.json"))
    return sorted(filter(None, map(_read, files)), key=lambda record: record.where)


def _file(where: Path) -> Path:
    name = hashlib.sha256(os.fsencode(where)).hexdigest()[:16]
    return _folder() / f"{name}.json"


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
