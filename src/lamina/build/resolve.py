"""Labels and patterns become targets: what each means, and what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from lamina.build.discovery import build_packages
from lamina.build.disk import join
from lamina.build.faults import NOWHERE, Fault, FaultReport, did_you_mean, nearest
from lamina.build.target import Target
from lamina.core.label import Label, Pattern

if TYPE_CHECKING:
    from lamina.build.buildpackage import BuildPackage
    from lamina.build.loader import Loader

_LOCKED = "python_distribution"  # the rule of what `python_requirements` declares


def labels(loader: Loader, patterns: Iterable[Pattern], manual: bool) -> tuple[Label, ...]:
    """The labels that patterns choose; see `Loader.resolve`."""
    chosen: dict[Label, None] = {}
    faults: list[Fault] = []
    for pattern in patterns:
        if pattern.subtract:
            chosen = {label: None for label in chosen if not pattern.matches(label)}
            continue
        try:
            chosen.update(dict.fromkeys(_chosen(loader, pattern, manual)))
        except FaultReport as report:
            faults.extend(report.faults)
    _tell(loader, faults)
    return tuple(chosen)


def _tell(loader: Loader, faults: list[Fault]) -> None:
    """Raise a report of faults, or put up with them."""
    if loader.tolerance is not None:
        loader.tolerance.faults += faults
    elif faults:
        raise FaultReport(faults)


def _chosen(loader: Loader, pattern: Pattern, manual: bool) -> list[Label]:
    if pattern.cell and not loader.cells.has(pattern.cell):
        raise FaultReport([no_cell(pattern.cell)])
    if pattern.label is not None:
        label = one(loader, pattern.label)
        loader.chosen.discard(label)
        return [label]
    names = [pattern.package]
    if pattern.recursive:
        names = below(loader, pattern)
    found = [
        target.label
        for package in _packages(loader, names, pattern.cell)
        for _, target in sorted(package.items())
        if manual or "manual" not in _tags(target)
    ]
    loader.chosen.update(found)
    return found


def one(loader: Loader, label: Label) -> Label:
    """The label of the target that a label names: a generated file stands for its maker."""
    target = find(loader, label)
    if target is None:
        hint = "name a target that has the file in its `srcs`"
        raise FaultReport([Fault(NOWHERE, f"`{label}` is a source file, not a target", hint)])
    return target.label


def below(loader: Loader, pattern: Pattern) -> list[str]:
    """The build packages in and below the folder of a pattern, as their cell calls them."""
    root = loader.cells.folder(pattern.cell)
    start = loader.cells.folder(pattern.cell, pattern.package)
    found = [folder[len(root) :].lstrip("/") for folder in build_packages(loader.view, start)]
    if not found:
        exists = loader.view.has_folder(start)
        what = f"no BUILD file in or below `{pattern.package or '.'}`"
        message = what if exists else f"no folder `{pattern.package}`"
        hint = "write one: `BUILD`, `BUILD.bazel` or `BUCK`"
        hint = hint if exists else _sibling(loader, pattern.package, "//{}/...")
        if hint.startswith("there is no folder"):
            hint = "`lamina targets` lists all targets"
        raise FaultReport([Fault(NOWHERE, f"`{pattern}` finds nothing: {message}", hint)])
    return found


def _packages(loader: Loader, names: list[str], cell: str) -> list[Mapping[str, Target]]:
    """The targets of several build packages; the faults of all of them are reported at once."""
    found: list[Mapping[str, Target]] = []
    faults: list[Fault] = []
    for name in names:
        try:
            found.append(loader.package(name, cell).targets)
        except FaultReport as report:
            faults.extend(report.faults)
    _tell(loader, faults)
    return found


def _tags(target: Target) -> tuple[str, ...]:
    tags = target.attributes.get("tags")
    return tags if isinstance(tags, tuple) else ()


def find(loader: Loader, label: Label) -> Target | None:
    """The target that a label means, or the one that makes its file; None for a source file.

    Raises a FaultReport without a place when there is none, or when its BUILD file has faults.
    """
    if label.cell and not loader.cells.has(label.cell):
        raise FaultReport([no_cell(label.cell)])
    if not loader.is_package(label.package, label.cell):
        raise FaultReport([missing(loader, label)])
    package = loader.package_of(label)
    target = package.targets.get(label.name) or package.generated.get(label.name)
    if target is None and (_border(loader, label) or not _is_source(loader, label)):
        target = unknown_maker(package, label.name)
        if target is None:
            raise FaultReport([missing(loader, label)])
    return target


def _is_source(loader: Loader, label: Label) -> bool:
    """Whether a label names a file, or a folder, which stands for all that is in it."""
    path = loader.path(label)
    return loader.view.has_file(path) or (bool(label.name) and loader.view.has_folder(path))


def unknown_maker(package: BuildPackage, name: str) -> Target | None:
    """The target of a rule that is not here which may make a file or target of this name.

    Such a rule may be a macro, and names are made by putting something behind that of the target.
    """
    for target in package.targets.values():
        rest = name.removeprefix(target.label.name)
        if target.rule.missing and rest != name and rest.startswith(("-", "_", ".")):
            return target
    return None


def _border(loader: Loader, label: Label) -> str:
    """The build package below the label's own that its path leads into, or ""."""
    parts = label.name.split("/")[:-1]
    home = loader.cells.folder(label.cell, label.package)
    folders = [join(home, "/".join(parts[: n + 1])) for n in range(len(parts))]
    return next((path for path in reversed(folders) if loader.view.build_file(path)), "")


def missing(loader: Loader, label: Label) -> Fault:
    """The fault of a label that names nothing."""
    if label.cell and not loader.cells.has(label.cell):
        return no_cell(label.cell)
    if not loader.is_package(label.package, label.cell):
        return missing_package(loader, label.package, label.cell, label)
    border = _border(loader, label)
    if border:
        below = loader.path(label).removeprefix(border + "/")
        inner = Label(*loader.cells.owner(border), below)
        message = f"`{label}` crosses into the build package `{inner.home}`"
        return Fault(NOWHERE, message, f"write `{inner}`")
    return Fault(NOWHERE, f"no target or file `{label}`", _meant(loader, label))


def no_cell(cell: str) -> Fault:
    """The fault of a label in a cell that is nowhere."""
    return Fault(NOWHERE, f"no repository `@{cell}`", how_to_map(cell))


def how_to_map(cell: str) -> str:
    """A hint at what to write of a cell that is nowhere."""
    if cell in ("pip", "pypi") or cell.startswith(("pip_", "pypi_")):  # as rules_python has them
        return (
            "distributions of Python come by `lamina lock` and `python_requirements`,"
            " as `//third_party/python:numpy`"
        )
    return (
        f'write `{cell} = "its/folder"` below `[cells]` in `lamina.toml`,'
        f" or `{cell} = false` to leave out what needs it"
    )


def _meant(loader: Loader, label: Label) -> str:
    """A hint at the nearest target or file of the build package."""
    package = loader.package_of(label)
    files = loader.view.folder(loader.path(label).rpartition("/")[0]).files
    folder = label.name.rpartition("/")[0]
    known = {*package.targets, *package.generated, *(join(folder, file) for file in files)}
    otherwise = f"`{package.build_file}` declares no target of this name"
    if any(target.rule.name == _LOCKED for target in package.targets.values()):
        otherwise += "; what a lock lacks goes into its requirements, and `lamina lock` adds it"
    return did_you_mean(label.name, known, otherwise, f"{label.home}:{{}}")


def missing_package(loader: Loader, name: str, cell: str, label: Label | None = None) -> Fault:
    """The fault of a build package that does not exist, perhaps needed for a label."""
    wanted = f", needed for `{label}`" if label else ""
    message = f"no build package `{Label(cell, name, '').home}`{wanted}"
    folder = loader.cells.folder(cell, name)
    if loader.view.has_folder(folder):
        return Fault(NOWHERE, message, f"`{folder or '.'}` has no BUILD file: write one")
    above, _, file = folder.rpartition("/")
    if loader.view.has_folder(above) and file in loader.view.folder(above).files:
        return Fault(NOWHERE, message, f"`{folder}` is a file: name a target that has it")
    return Fault(NOWHERE, message, "" if cell else _sibling(loader, name, "//{}"))


def _sibling(loader: Loader, name: str, form: str) -> str:
    """A hint at a folder with a like name, beside the first folder of the path that is missing."""
    parts = name.split("/")
    for number, part in enumerate(parts):
        parent = "/".join(parts[:number])
        folders = loader.view.folder(parent).folders
        if part not in folders:
            found = nearest(part, folders)
            rest = [parent, found, *parts[number + 1 :]]
            path = "/".join(piece for piece in rest if piece)
            return (
                f"did you mean `{form.format(path)}`?" if found else f"there is no folder `{name}`"
            )
    return ""
