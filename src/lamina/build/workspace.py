"""The workspace: its root, marked by `lamina.toml`, and what that file sets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lamina.build import cellmap, fetchedcells, runsettings
from lamina.build.cellmap import NO_CELLS, Cells
from lamina.build.disk import WORKSPACE_FILE
from lamina.build.faults import Fault, FaultReport, Place, did_you_mean
from lamina.core import cluster
from lamina.core.classes import dataclass, field
from lamina.core.errors import UserError
from lamina.core.label import Home
from lamina.formats import tomltext
from lamina.store.trust import policy

BAZEL_IGNORE = ".bazelignore"


@dataclass(frozen=True, slots=True)
class Workspace:
    """A root folder and its settings; an empty tool means the one that is found on the machine."""

    root: Path  # absolute, links resolved
    name: str
    ignore: tuple[str, ...] = ()  # folders that hold no build packages, relative to the root
    python_interpreter: str = ""
    cxx_compiler: str = ""
    c_compiler: str = ""
    archiver: str = ""
    compiler_flags: tuple[str, ...] = ()
    c_flags: tuple[str, ...] = ()
    cxx_flags: tuple[str, ...] = ()
    linker_flags: tuple[str, ...] = ()
    layer_format: str = "xar"  # or `erofs`
    layer_compression: str = ""  # empty, and 0 for the next two: what is usual for the format
    layer_level: int = 0
    layer_block_size: int = 0  # bytes
    build_flags: tuple[str, ...] = ()  # of every command that builds, before those that are typed
    grouping: str = ""  # how targets are grouped into layers; empty for the default
    most_layers: int = 0  # with `grouping = "auto"`; 0 for the default
    configs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # `--config` -> flags
    buckconfig: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # for `read_config`
    toolchains: Mapping[str, str] = field(default_factory=dict)  # of rules: type -> target
    remote: Mapping[str, Any] = field(default_factory=dict)  # `[remote]`, for who builds
    run: Mapping[str, Any] = field(default_factory=dict)  # options of `lamina run`
    cells: Cells = NO_CELLS
    files: tuple[str, ...] = (WORKSPACE_FILE,)  # what was read, or looked for, to know all this

    def package_of(self, folder: Path) -> str:
        """The path of a folder relative to the root: what relative patterns start from."""
        try:
            relative = folder.resolve().relative_to(self.root)
        except ValueError:
            raise UserError(f"`{folder}` is not inside the workspace `{self.root}`") from None
        return "" if relative == Path() else relative.as_posix()

    def locate(self, path: str) -> str:
        """Where on the disk a path from the root is, cells that lie elsewhere included.

        A cell that is an archive is there from then on; raises what fetching it raises.
        """
        self.cells.ensure(path)
        found = self.cells.disk_path(path)
        return found if found.startswith("/") else f"{self.root}/{found}".removesuffix("/")


# section -> key -> field of Workspace
_KEYS: Mapping[str, Mapping[str, str]] = {
    "workspace": {"name": "name", "ignore": "ignore"},
    "build": {"flags": "build_flags"},
    "layers": {
        "grouping": "grouping",
        "max": "most_layers",
        "format": "layer_format",
        "compression": "layer_compression",
        "level": "layer_level",
        "block_size": "layer_block_size",
    },
    "python": {"interpreter": "python_interpreter"},
    "cxx": {
        "compiler": "cxx_compiler",
        "c_compiler": "c_compiler",
        "archiver": "archiver",
        "compiler_flags": "compiler_flags",
        "c_flags": "c_flags",
        "cxx_flags": "cxx_flags",
        "linker_flags": "linker_flags",
    },
}
_OTHERS = "it stands for all cells that are not named: what needs them is left out"
_LISTS = frozenset({"ignore", "flags", "compiler_flags", "c_flags", "cxx_flags", "linker_flags"})
_NUMBERS = frozenset({"level", "block_size", "max"})
# Keys that take one of a few words.
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "grouping": ("per-target", "per-package", "single", "auto"),
}
_CONFIG = {"flags": "flags"}
_TABLES = ("config", "buckconfig")  # sections that hold a table for each name
_TEMPLATE = """\
# The root of a lamina workspace: labels such as `//folder:target` start here.
[workspace]
name = "{name}"
# ignore = ["third_party/x"]

# Flags of every build; those on the command line come after them and win.
# `-c opt` makes fast programs, `-c dbg` ones for the debugger, `-c fastbuild` is built soonest.
[build]
flags = ["-c", "opt"]

# Taken by `--config asan`.
# [config.asan]
# flags = ["-c", "dbg", "--copt=-fsanitize=address", "--linkopt=-fsanitize=address"]

# [python]
# interpreter = "python3"

# [cxx]
# compiler = "c++"
# compiler_flags = ["-O2"]

# How `lamina run` runs: in a container, with limits.
# [run]
# contain = true
# memory = "4g"

# How layers are written: squashfs behind a XAR header, or EROFS, which new kernels mount sooner.
# [layers]
# format = "xar"
# compression = "zstd"

# A build farm that speaks the Remote Execution API: its cache, and with `execution` its workers.
# [remote]
# endpoint = "grpcs://farm.example:443"
# execution = true
"""


def find(start: Path) -> Workspace:
    """The workspace that a folder lies in; raises UserError outside of any."""
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / WORKSPACE_FILE).is_file():
            return read(folder)
    raise UserError(
        f"`{start}` is in no workspace: no `{WORKSPACE_FILE}` here or above",
        hint="`lamina init` makes a folder the root of a workspace",
    )


def init(folder: Path) -> Path:
    """Make a folder the root of a workspace, and return the file that marks it."""
    path = folder / WORKSPACE_FILE
    name = re.sub(r"[^A-Za-z0-9_.-]", "-", folder.resolve().name) or "workspace"
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(_TEMPLATE.format(name=name))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"there is no folder `{folder}`", hint="make it first") from None
    except FileExistsError:
        raise UserError(f"`{path}` exists already", hint="edit it, or remove it first") from None
    return path


def above(folder: Path) -> Path | None:
    """The root of the workspace that a folder lies in, without being a root itself."""
    parents = folder.resolve().parents
    return next((each for each in parents if (each / WORKSPACE_FILE).is_file()), None)


def read(root: Path) -> Workspace:
    """The workspace of a root folder; raises a FaultReport with everything wrong in its file."""
    root = root.resolve()
    try:
        text = (root / WORKSPACE_FILE).read_text(encoding="utf-8")
        settings = tomltext.loads(text)
    except tomltext.Fault as error:
        raise FaultReport([_syntax_fault(str(error))]) from error
    except UnicodeDecodeError as error:
        raise FaultReport([Fault(Place(WORKSPACE_FILE), "not UTF-8 text")]) from error
    faults = _faults(settings, text)
    if faults:
        raise FaultReport(faults)
    return _workspace(root, settings)


def _workspace(root: Path, settings: Mapping[str, Mapping[str, Any]]) -> Workspace:
    settings = dict(settings)
    mapped = settings.pop("cells", {})
    configs = {
        name: tuple(table.get("flags", ())) for name, table in settings.pop("config", {}).items()
    }
    buckconfig = settings.pop("buckconfig", {})
    toolchains = settings.pop("toolchains", {})
    run = settings.pop("run", {})
    for section in ("trust", "cluster"):  # read where a package is to be run
        settings.pop(section, None)
    remote = settings.pop("remote", {})
    fields: dict[str, Any] = {
        _KEYS[section][key]: tuple(value) if isinstance(value, list) else value
        for section, table in settings.items()
        for key, value in table.items()
    }
    ignored = (*fields.get("ignore", ()), *_bazelignore(root))
    fields["ignore"] = tuple(path.strip("/") for path in ignored)
    fields.setdefault("name", root.name)
    found = cellmap.read(root, mapped, fields["name"])
    looked = [
        found.disk_path(f"{folder}/{file}")
        for folder in found.folders.values()
        if folder not in found.fetched
        for file in cellmap.NAMING
    ]
    patches = [patch for cell in found.fetched.values() for patch in cell.patches]
    files = (WORKSPACE_FILE, BAZEL_IGNORE, *cellmap.NAMING, *looked, *patches)
    return Workspace(
        root=root, cells=found, files=files, configs=configs, buckconfig=buckconfig,
        toolchains=toolchains, remote=remote, run=run, **fields,
    )  # fmt: skip


def _bazelignore(root: Path) -> list[str]:
    """The folders that a repository made for Bazel wants left out."""
    try:
        lines = (root / BAZEL_IGNORE).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _faults(settings: Mapping[str, object], text: str) -> list[Fault]:
    faults = []
    for section, table in settings.items():
        if section == "cells" and isinstance(table, dict):
            faults.extend(_faults_of_cells(table, text))
            continue
        if section == "toolchains" and isinstance(table, dict):
            faults.extend(_faults_of_toolchains(table, text))
            continue
        if section == "run" and isinstance(table, dict):
            faults += runsettings.faults(table, lambda key: _place_of(text, "run", key))
            continue
        if section == "trust":
            found = policy.faults(table, text)
            faults += [Fault(Place(WORKSPACE_FILE, line, 1), message) for line, message in found]
            continue
        if section == "cluster":
            wrong = cluster.faults(table, text)
            faults += [Fault(Place(WORKSPACE_FILE, line, 1), message) for line, message in wrong]
            continue
        if section == "remote":
            faults.extend(_faults_of_remote(table, text))
            continue
        if section in _TABLES and isinstance(table, dict):
            faults.extend(_faults_of_tables(section, table, text))
            continue
        known = _KEYS.get(section)
        if known is None or not isinstance(table, dict):
            hint = did_you_mean(section, _KEYS, _list_of(_KEYS), "[{}]")
            message = f"unknown section or key `{section}`"
            faults.append(Fault(_place_of(text, "", section), message, hint))
            continue
        faults.extend(_faults_of_section(section, table, known, text))
    return faults


def _faults_of_tables(section: str, tables: Mapping[str, object], text: str) -> list[Fault]:
    """What is wrong in `[config.NAME]` and `[buckconfig.SECTION]`."""
    faults = []
    for name, table in tables.items():
        inner = f"{section}.{name}"
        place = _place_of(text, "", inner)
        if not isinstance(table, dict):
            faults.append(Fault(place, f"`{section}` has tables: write `[{inner}]`"))
        elif section == "config":
            faults.extend(_faults_of_section(inner, table, _CONFIG, text))
        else:
            wrong = [key for key, value in table.items() if not isinstance(value, str)]
            faults += [
                Fault(_place_of(text, inner, key), f"`{key}` in `[{inner}]` takes a string")
                for key in wrong
            ]
    return faults


def _faults_of_cells(table: Mapping[str, object], text: str) -> list[Fault]:
    faults = []
    for cell, setting in table.items():
        place = _place_of(text, "cells", cell)
        if cell == cellmap.OTHERS:
            if setting is not False:
                faults.append(Fault(place, f"`{cell}` in `[cells]` takes `false` alone", _OTHERS))
        elif not re.fullmatch(r"[A-Za-z0-9_.+~-]+", cell):
            faults.append(Fault(place, f"not the name of a cell: `{cell}`"))
        elif isinstance(setting, dict) and setting and "folder" not in setting:
            faults.extend(_faults_of_archive(cell, setting, place))
        elif not _is_cell(setting):
            hint = (
                '`{ folder = "…", build_file = "…" }` gives the folder a BUILD file,'
                ' `{ url = "…", sha256 = "…" }` takes an archive,'
                " `false` leaves out what needs the cell"
            )
            faults.append(Fault(place, f"`{cell}` in `[cells]` takes the path of a folder", hint))
    return faults


def _faults_of_toolchains(table: Mapping[str, object], text: str) -> list[Fault]:
    faults = []
    for kind, label in table.items():
        try:
            for each in (kind, label):
                Home().label(each if isinstance(each, str) else "")
        except UserError:
            message = f"`[toolchains]` takes labels, not `{kind} = {label}`"
            hint = '`"@rules//:toolchain_type" = "//its:target"`'
            faults.append(Fault(_place_of(text, "toolchains", kind), message, hint))
    return faults


def _faults_of_remote(table: object, text: str) -> list[Fault]:
    from lamina.store.remote import settings

    found = []
    for key, message in settings.faults(table):
        unknown = bool(key) and key not in settings.KEYS
        known = dict.fromkeys(settings.KEYS)
        hint = did_you_mean(key, known, _list_of(known)) if unknown else ""
        place = _place_of(text, "remote", key) if key else _place_of(text, "", "remote")
        found.append(Fault(place, message, hint))
    return found


def _is_cell(value: object) -> bool:
    """Whether a value says where a cell is, perhaps with its BUILD file, or that it is not here."""
    if isinstance(value, dict):
        texts = all(isinstance(each, str) and each for each in value.values())
        return texts and "folder" in value and value.keys() <= {"folder", "build_file"}
    return value is False or (isinstance(value, str) and bool(value))


def _faults_of_archive(cell: str, setting: Mapping[str, object], place: Place) -> list[Fault]:
    """What is wrong with a cell that is an archive."""
    from lamina.formats.archive import TYPES  # its decoders are dear

    wrong = []
    for key, value in setting.items():
        if key in fetchedcells.LISTS:
            if not (isinstance(value, list) and all(isinstance(each, str) for each in value)):
                wrong.append(f"`{key}` of the cell `{cell}` takes a list of strings")
        elif key not in fetchedcells.TEXTS:
            wrong.append(f"a cell has no `{key}`")
        elif not isinstance(value, str):
            wrong.append(f"`{key}` of the cell `{cell}` takes a string")
    faults = [Fault(place, message) for message in wrong]
    hint = '`{ url = "https://…", sha256 = "…" }` takes an archive'
    if not setting.get("url") and not setting.get("urls"):
        faults.append(Fault(place, f"the cell `{cell}` has neither `folder` nor `url`", hint))
    if not re.fullmatch(r"[0-9a-fA-F]{64}", str(setting.get("sha256", ""))):
        message = f"the cell `{cell}` needs the `sha256` of its archive, 64 hexadecimal digits"
        faults.append(Fault(place, message))
    if setting.get("type", "") not in ("", *TYPES):
        faults.append(Fault(place, f"no type of archives: `{setting['type']}`"))
    return faults


def _faults_of_section(
    section: str, table: Mapping[str, object], known: Mapping[str, str], text: str
) -> list[Fault]:
    faults = []
    for key, value in table.items():
        if key not in known:
            message = f"unknown key `{key}` in `[{section}]`"
            hint = did_you_mean(key, known, _list_of(known))
        elif not _fits(key, value):
            message, hint = f"`{key}` in `[{section}]` takes {_wanted(key)}", ""
        else:
            continue
        faults.append(Fault(_place_of(text, section, key), message, hint))
    return faults


def _wanted(key: str) -> str:
    if key in _CHOICES:
        return " or ".join(f"`{choice}`" for choice in _CHOICES[key])
    if key in _NUMBERS:
        return "a number from 1 upwards"
    return "a list of strings" if key in _LISTS else "a string"


def _fits(key: str, value: object) -> bool:
    if key in _LISTS:
        return isinstance(value, list) and all(isinstance(element, str) for element in value)
    if key in _NUMBERS:
        return isinstance(value, int) and not isinstance(value, bool) and value > 0
    return isinstance(value, str) and value in _CHOICES.get(key, (value,))


def _list_of(known: Mapping[str, object]) -> str:
    return "known: " + ", ".join(f"`{key}`" for key in known)


def _syntax_fault(text: str) -> Fault:
    """tomllib says the place at the end of its message: `… (at line 2, column 8)`."""
    match = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", text)
    message = text[: match.start()] if match else text
    line, column = (int(match[1] or 0), int(match[2] or 0)) if match else (0, 0)
    return Fault(Place(WORKSPACE_FILE, line, column), f"syntax error: {_lower(message)}")


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _place_of(text: str, section: str, key: str) -> Place:
    """The line that sets a key; tomllib keeps no places, and files are small."""
    current = ""
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[+\s*([^\]]*?)\s*\]", line)
        if header:
            current = header[1]
        word = re.match(r"\s*[\"']?([^\s\"'=.]+)[\"']?\s*[=.]", line)
        if (header and not section and key in (current, current.split(".")[0])) or (
            word and not header and current == section and word[1] == key
        ):
            return Place(WORKSPACE_FILE, number, len(line) - len(line.lstrip()) + 1)
    return Place(WORKSPACE_FILE)
