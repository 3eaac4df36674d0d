"""Loaded build packages kept on disk, so that an unchanged BUILD file is not evaluated again.

A package is good as long as the BUILD file, the .bzl files it loads and the folders it looked at
are as they were. It is kept as marshal of plain values, in which a label is written as bytes and
a `select()` as a list; one blob for each package, read when that is asked for.
"""

from __future__ import annotations

import marshal
import sys
import time
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lamina.build import record
from lamina.build.buildpackage import BuildPackage
from lamina.build.declare import Schema
from lamina.build.disk import Disk
from lamina.build.glob import Glob
from lamina.build.rule import Rule
from lamina.build.selects import Joined, Select
from lamina.build.target import Target
from lamina.build.workspace import Workspace
from lamina.core.classes import dataclass
from lamina.core.label import Label
from lamina.formats import kept
from lamina.linux import filesystem

_FORMAT = "lamina packages 2"


@dataclass(frozen=True, slots=True)
class _Entry:
    """A package as it is kept."""

    inputs: tuple[str, ...]  # files read
    folders: tuple[tuple[str, str], ...]  # folder, digest of what it listed
    payload: bytes


class PackageCache:
    """The loaded packages of a workspace, in one file."""

    def __init__(
        self, path: Path, workspace: Workspace, disk: Disk, rules: Mapping[str, Rule]
    ) -> None:
        self._path = path
        self._workspace = workspace
        self._disk = disk
        self._rules = rules
        self._begun = time.time_ns()
        self._version = _version(workspace)
        self._codec = Codec(rules)
        self._files: dict[str, tuple[int, ...]] = {}  # identity of files, when they were read
        self._entries: dict[str, tuple[Any, ...]] = {}  # by folder
        self._same: dict[str, bool] = {}
        self._changed = False
        self._read()

    def get(self, folder: str) -> BuildPackage | None:
        """The package of a folder, unless something it was made from has changed."""
        kept = self._entries.get(folder)
        if kept is None or not kept[2]:
            return None
        entry = _Entry(*kept)
        if not all(map(self._unchanged, entry.inputs)):
            return None
        if any(self._disk.digest(path) != digest for path, digest in entry.folders):
            return None
        inputs, folders = frozenset(entry.inputs), frozenset(path for path, _ in entry.folders)
        return self._codec.decode(entry.payload, inputs, folders)

    def put(self, package: BuildPackage) -> bool:
        """Keep a package; tells whether it is another than the one that was kept before."""
        # One with rules of .bzl files has no bytes: only what it read is kept, so that a change of
        # these files is known to concern it.
        payload = self._codec.encode(package) or b""
        inputs = tuple(sorted(package.inputs))
        for path in inputs:
            identity = _identity(self._workspace.locate(path), self._begun)
            if self._files.get(path) != identity:
                # Other packages that read it have not been checked against this state of it.
                self._forget_readers(path, package.folder)
                self._files[path] = identity
        folders = tuple((path, self._disk.digest(path)) for path in sorted(package.directories))
        old = self._entries.get(package.folder)
        self._entries[package.folder] = (inputs, folders, payload)
        self._changed = True
        return old is None or not payload or old[2] != payload

    def digest(self, folder: str) -> str:
        """Tells what is kept of a package: equal digests are equal targets that were made of the
        same files, whatever these hold; "" where nothing is."""
        kept = self._entries.get(folder)
        if kept is None or not kept[2]:
            return ""
        inputs, folders, payload = kept
        places = marshal.dumps((list(inputs), [path for path, _ in folders]), 2)
        return sha256(payload + places).hexdigest()[:32]

    def readers(self, path: str) -> list[str]:
        """The packages that read a file."""
        return [folder for folder, entry in self._entries.items() if path in entry[0]]

    def lookers(self, path: str) -> list[str]:
        """The packages that looked at a folder."""
        return [
            folder
            for folder, entry in self._entries.items()
            if any(path == listed for listed, _ in entry[1])
        ]

    def save(self, scratch: Path) -> None:
        """Write what was added."""
        if self._changed:
            values = (self._version, self._files, self._entries)
            kept.write(self._path, _FORMAT, values, scratch)
            self._changed = False

    def _read(self) -> None:
        values = kept.read(self._path, _FORMAT)
        if values is not None and values[0] == self._version:
            _, self._files, self._entries = values

    def _unchanged(self, path: str) -> bool:
        same = self._same.get(path)
        if same is None:
            known = self._files.get(path)
            same = bool(known) and known == _identity(self._workspace.locate(path), None)
            self._same[path] = same
        return same

    def _forget_readers(self, path: str, folder: str) -> None:
        if path not in self._files:
            return
        self._same[path] = False
        readers = [f for f, entry in self._entries.items() if path in entry[0] and f != folder]
        for reader in readers:
            del self._entries[reader]


def _identity(path: str, begun: int | None) -> tuple[int, ...]:
    """What tells a file from another state of it; () where it cannot be told."""
    try:
        known = filesystem.identity(Path(path).stat())
    except OSError:
        return ()
    return known if begun is None or filesystem.settled(known, begun) else ()


def _version(workspace: Workspace) -> str:
    """What all packages depend on: this program, the interpreter, and `lamina.toml`."""
    files = [*record.own_code(), *map(workspace.locate, workspace.files)]
    states = [(file, _identity(file, None)) for file in files]
    return sha256(repr((sys.version, states)).encode()).hexdigest()


class Codec:
    """Packages to bytes and back; equal packages give equal bytes."""

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        self._rules = rules
        self._schemas: dict[str, Schema] = {}
        self._labels: dict[bytes, Label] = {}

    def encode(self, package: BuildPackage) -> bytes | None:
        """A package as bytes; None where a rule of it is none of this program's own."""
        targets = []
        for target in package.targets.values():
            if self._rules.get(target.rule.name) is not target.rule:
                return None
            defaults = self._schema(target.rule.name).defaults
            values = {
                name: _plain(value)
                for name, value in target.attributes.items()
                if name in target.given or value is not defaults.get(name)
            }
            targets.append(
                (
                    target.label.name,
                    target.rule.name,
                    values,
                    target.visibility,
                    tuple(sorted(target.given)),
                    target.selects,
                )
            )
        document = (
            package.name,
            package.cell,
            package.folder,
            package.build_file,
            targets,
            {path: target.label.name for path, target in package.generated.items()},
            dict(package.exports),
            package.loads,
            [(found.include, found.exclude, found.files) for found in package.globs],
            dict(package.ordinals),
        )
        return marshal.dumps(document, 2)

    def decode(
        self, payload: bytes, inputs: frozenset[str], directories: frozenset[str]
    ) -> BuildPackage:
        """The package that some bytes are."""
        name, cell, folder, build_file, kept, generated, exports, loads, globs, ordinals = (
            marshal.loads(payload)
        )
        targets = {}
        for own, rule, values, visibility, given, selects in kept:
            schema = self._schema(rule)
            attributes = dict(schema.defaults)
            for attribute, value in values.items():
                attributes[attribute] = value if type(value) is str else self._value(value)
            label = Label(cell, name, own)
            targets[own] = Target(
                label,
                schema.rule,
                MappingProxyType(attributes),
                visibility,
                frozenset(given),
                selects,
            )
        return BuildPackage(
            name=name,
            cell=cell,
            folder=folder,
            build_file=build_file,
            targets=MappingProxyType(targets),
            generated=MappingProxyType({path: targets[own] for path, own in generated.items()}),
            exports=MappingProxyType(exports),
            loads=loads,
            globs=tuple(Glob(*found) for found in globs),
            inputs=inputs,
            directories=directories,
            ordinals=MappingProxyType(ordinals),
        )

    def _schema(self, rule: str) -> Schema:
        found = self._schemas.get(rule)
        if found is None:
            found = self._schemas[rule] = Schema.of(self._rules[rule])
        return found

    def _value(self, value: object) -> Any:
        """A value as a target has it."""
        if type(value) is bytes:
            label = self._labels.get(value)
            if label is None:
                label = self._labels[value] = Label(*value.decode().split("\0"))
            return label
        if type(value) is tuple:
            return tuple([v if type(v) is str else self._value(v) for v in value])
        if type(value) is list:
            kind, *rest = value
            if kind == "select":
                branches, message = rest
                return Select(tuple((self._value(c), self._value(v)) for c, v in branches), message)
            return Joined(tuple(map(self._value, rest)))
        return value


def _plain(value: object) -> Any:
    """A value of a target in plain types."""
    if isinstance(value, Label):
        return f"{value.cell}\0{value.package}\0{value.name}".encode()
    if isinstance(value, tuple):
        return tuple([_plain(element) for element in value])
    if isinstance(value, Select):
        branches = tuple((_plain(c), _plain(v)) for c, v in value.branches)
        return ["select", branches, value.no_match_error]
    if isinstance(value, Joined):
        return ["joined", *map(_plain, value.parts)]
    return value
