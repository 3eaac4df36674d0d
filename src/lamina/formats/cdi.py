"""The Container Device Interface: what a container needs for a device, as its vendor tells it.

https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md

JSON files in `/etc/cdi` and `/var/run/cdi`, the latter winning. Devices, binds and variables are
taken; hooks, which would run programs of the vendor's as lamina's user, are not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lamina.core.classes import dataclass
from lamina.core.container import Bind, Device
from lamina.core.errors import IntegrityError, UserError

FOLDERS = (Path("/etc/cdi"), Path("/var/run/cdi"))
_NAME = re.compile(
    r"[A-Za-z][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*=[A-Za-z0-9][A-Za-z0-9_.:-]*"
)


@dataclass(frozen=True, slots=True)
class Edits:
    """What a container gets for its devices."""

    devices: tuple[Device, ...] = ()
    binds: tuple[Bind, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()

    def __add__(self, other: Edits) -> Edits:
        return Edits(
            tuple(dict.fromkeys((*self.devices, *other.devices))),
            tuple(dict.fromkeys((*self.binds, *other.binds))),
            tuple(dict([*self.environment, *other.environment]).items()),
        )


def is_name(word: str) -> bool:
    """Whether a word is the name of a device, `vendor.com/class=name`."""
    return _NAME.fullmatch(word) is not None


def find(names: Sequence[str], folders: Sequence[Path]) -> Edits:
    """What containers get for devices of those names.

    Raises UserError for one that no file tells of, and IntegrityError for a file that is malformed.
    """
    known: dict[str, Edits] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.json")):
            known.update(_read(path))
    edits = Edits()
    for name in names:
        if name not in known:
            files = ", ".join(f"`{folder}`" for folder in folders)
            listed = ", ".join(f"`{each}`" for each in sorted(known)) or "none"
            raise UserError(
                f"no file in {files} tells of a device `{name}`", hint=f"known: {listed}"
            )
        edits += known[name]
    return edits


def _read(path: Path) -> dict[str, Edits]:
    try:
        return dict(parse(path.read_bytes()))
    except IntegrityError as error:
        raise IntegrityError(f"`{path}`: {error.message}") from error
    except OSError as error:
        raise UserError(f"can not read `{path}`: {error.strerror}") from error


def parse(data: bytes) -> Iterator[tuple[str, Edits]]:
    """The devices of a file by their whole names; raises IntegrityError."""
    try:
        found = json.loads(data)
        kind = str(found["kind"])
        common = _edits(found.get("containerEdits") or {})
        for device in found["devices"]:
            yield f"{kind}={device['name']}", common + _edits(device.get("containerEdits") or {})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise IntegrityError(f"not a specification of CDI: {error!r}") from error


def _edits(found: Mapping[str, Any]) -> Edits:
    return Edits(
        tuple(map(_device, found.get("deviceNodes") or ())),
        tuple(map(_bind, found.get("mounts") or ())),
        tuple(_variable(word) for word in found.get("env") or ()),
    )


def _device(node: Mapping[str, Any]) -> Device:
    target = str(node["path"])
    source = str(node.get("hostPath") or target)
    for path in (source, target):
        if not path.startswith("/dev/") or ".." in path.split("/"):
            raise ValueError(f"a device node at `{path}`")
    return Device(source, target)


def _bind(mount: Mapping[str, Any]) -> Bind:
    source, target = str(mount["hostPath"]), str(mount["containerPath"])
    for path in (source, target):
        if not path.startswith("/") or ".." in path.split("/"):
            raise ValueError(f"a mount at `{path}`")
    return Bind(source, target, read_only="rw" not in (mount.get("options") or ()))


def _variable(word: str) -> tuple[str, str]:
    name, equals, value = str(word).partition("=")
    if not equals or not name:
        raise ValueError(f"a variable `{word}`")
    return name, value
