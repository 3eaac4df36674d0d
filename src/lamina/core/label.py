"""The names of targets and files (`//train/model:gpt`), and patterns that choose many of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Self

from lamina.core.classes import dataclass, field, replace
from lamina.core.errors import UserError

_CELL = re.compile(r"[A-Za-z0-9_.+~-]*")
_BAD_SEGMENTS = {
    "": "there is an empty segment between two slashes or at the end",
    ".": "labels do not contain `.`: write the path from the root, `//a/b:c`",
    "..": "labels do not contain `..`: write the path from the root, `//a/b:c`",
    "...": "`...` is for patterns on the command line, a label names one target",
}
_EVERY = ("", "all", "*")  # what may follow the colon in place of a name: all targets


@dataclass(frozen=True, slots=True, order=True)
class Label:
    """Names a target, an output or a source file; `str()` gives `//a/b:c`, which `parse` reads."""

    cell: str  # "" is the workspace itself
    package: str  # folder relative to the root; "" is the root
    name: str  # may contain slashes: a file in a folder of the build package

    def __str__(self) -> str:
        cell = f"@{self.cell}" if self.cell else ""
        return f"{cell}//{self.package}:{self.name}"

    @property
    def home(self) -> str:
        """Its build package, as labels write it: `@cell//folder`."""
        return f"@{self.cell}//{self.package}" if self.cell else f"//{self.package}"

    @property
    def path(self) -> str:
        """Where the file of this name lies, relative to the root of its cell."""
        return f"{self.package}/{self.name}" if self.package else self.name

    @classmethod
    def parse(cls, text: str, package: str | None = None, cell: str = "") -> Self:
        """Read a label; `:c` and `c` need the build package that they stand in.

        Raises UserError, with what is wrong as its hint.
        """
        if text.startswith("@") or "//" in text:
            found_cell, folder, name = _absolute(text, cell)
        elif package is None:
            hint = f"did you mean `//{text}` or `//:{text}`?" if text.strip(":") else None
            raise UserError(f"not a label: `{text}`", hint=hint)
        else:
            found_cell, folder, name = cell, package, text.removeprefix(":")
        fault = _fault_of_package(folder) or _fault_of_name(name)
        if fault:
            raise UserError(f"not a label: `{text}`", hint=fault)
        return cls(found_cell, folder, name)


@dataclass(frozen=True, slots=True)
class Home:
    """Where labels are written: relative ones start from this build package of this cell."""

    package: str = ""
    cell: str = ""
    names: Mapping[str, str] = field(default_factory=dict)  # other name of a cell -> its name

    def label(self, text: str) -> Label:
        """The label that a text stands for here; raises UserError."""
        label = Label.parse(text, self.package, self.cell)
        if label.cell in self.names:
            return Label(self.names[label.cell], label.package, label.name)
        return label

    def pattern(self, text: str) -> Pattern:
        """The pattern that a text stands for here; raises UserError."""
        pattern = Pattern.parse(text, self.package)
        written = text.removeprefix("-").startswith("@")
        cell = self.names.get(pattern.cell, pattern.cell) if written else self.cell
        return replace(pattern, cell=cell)


@dataclass(frozen=True, slots=True, order=True)
class Pattern:
    """Chooses targets: one, all of a build package, or all below a folder; `-` takes them away."""

    cell: str
    package: str
    name: str  # "" chooses every target
    recursive: bool = False  # also the build packages below
    subtract: bool = False

    def __str__(self) -> str:
        cell = f"@{self.cell}" if self.cell else ""
        sign = "-" if self.subtract else ""
        if self.recursive:
            return f"{sign}{cell}//{self.package}{'/' if self.package else ''}..."
        return f"{sign}{cell}//{self.package}:{self.name or 'all'}"

    @property
    def label(self) -> Label | None:
        """The one label it names, or None when it may choose many."""
        return Label(self.cell, self.package, self.name) if self.name else None

    def matches(self, label: Label) -> bool:
        """Whether it speaks of this label, no matter whether it adds or takes away."""
        if label.cell != self.cell:
            return False
        if self.recursive:
            return is_below(label.package, self.package)
        return label.package == self.package and self.name in ("", label.name)

    @classmethod
    def parse(cls, text: str, package: str = "") -> Self:
        """Read a pattern as typed in the folder of `package`; raises UserError with a hint."""
        body = text.removeprefix("-")
        if not body:
            raise UserError(f"not a target pattern: `{text}`", hint="name a target or `//...`")
        cell, folder, name = _pattern_parts(body, package)
        recursive = (folder == "..." or folder.endswith("/...")) and name in (None, *_EVERY)
        folder = folder.removesuffix("...").removesuffix("/") if recursive else folder
        chosen = _chosen(folder, name, recursive)
        fault = _fault_of_package(folder) or (chosen and _fault_of_name(chosen))
        if fault or not (chosen or recursive or name is not None):
            raise UserError(
                f"not a target pattern: `{text}`", hint=fault or "name a target or `//...`"
            )
        return cls(cell, folder, chosen, recursive, text.startswith("-"))


def is_below(package: str, folder: str) -> bool:
    """Whether a build package is the folder itself or lies below it."""
    return not folder or package == folder or package.startswith(folder + "/")


def _absolute(text: str, own_cell: str) -> tuple[str, str, str]:
    """Split `@cell//a/b:c`; `@cell` alone means `@cell//:cell`."""
    before, slashes, rest = text.partition("//")
    cell = before.lstrip("@") if before else own_cell
    if not _CELL.fullmatch(cell) or (before and not before.startswith("@")):
        raise UserError(f"not a label: `{text}`", hint="a label starts with `//`, `:` or `@cell//`")
    if not slashes:
        return cell, "", cell
    folder, colon, name = rest.partition(":")
    return cell, folder, name if colon else folder.rpartition("/")[2]


def _pattern_parts(body: str, package: str) -> tuple[str, str, str | None]:
    """Split into cell, folder, and what follows the colon (None without a colon)."""
    cell = ""
    if body.startswith("@") or "//" in body:
        before, slashes, body = body.partition("//")
        cell = before.lstrip("@")
        if not slashes or (before and not before.startswith("@")) or not _CELL.fullmatch(cell):
            raise UserError(
                f"not a target pattern: `{before}{slashes}{body}`",
                hint="a pattern starts with `//`, `:`, a folder or `@cell//`",
            )
        package = ""
    folder, colon, name = body.partition(":")
    return cell, "/".join(part for part in (package, folder) if part), name if colon else None


def _chosen(folder: str, name: str | None, recursive: bool) -> str:
    """The one target name that a pattern chooses, or "" for all."""
    if recursive or name in _EVERY:
        return ""
    return folder.rpartition("/")[2] if name is None else name


def _fault_of_package(package: str) -> str:
    if not package:
        return ""
    if package.endswith("/") or package.startswith("/"):
        return "a build package neither starts nor ends with `/`"
    return _fault_of_segments(package)


def _fault_of_name(name: str) -> str:
    if not name:
        return "the name of the target is missing"
    if name.startswith("/"):
        return "names are relative to their build package: no `/` at the start"
    return _fault_of_segments(name)


def _fault_of_segments(text: str) -> str:
    """What is wrong with a path inside a label, or ""."""
    for segment in text.split("/"):
        if segment in _BAD_SEGMENTS:
            return _BAD_SEGMENTS[segment]
    if text.isprintable() and ":" not in text and "\\" not in text:
        return ""
    bad = next(c for c in text if c in ":\\" or not c.isprintable())
    return f"names may not hold `{bad}`"
