"""What one target may ask of another: by groups of packages, in tests alone, or deprecated."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from lamina.build.faults import Fault, FaultReport
from lamina.build.target import Target
from lamina.core.errors import UserError
from lamina.core.label import Home, Label, Pattern

if TYPE_CHECKING:
    from lamina.build.loader import Loader

_ALIAS = "alias"


def granted(loader: Loader, visibility: Sequence[str], asker: Label) -> bool:
    """Whether a `package_group` among the entries of a visibility has the asker's package."""
    named = [entry for entry in visibility if entry.startswith(("//", "@"))]
    labels = [pattern.label for pattern in map(Pattern.parse, named)]
    return any(_in_group(loader, label, asker, set()) for label in labels if label)


def _in_group(loader: Loader, label: Label, asker: Label, seen: set[Label]) -> bool:
    if label in seen:
        return False
    seen.add(label)
    try:
        target = loader.configured(loader.target(label))
    except FaultReport:
        return False  # Buck lets a visibility name what does not exist
    if target.rule.name == _ALIAS:
        actual = target.attributes["actual"]
        return isinstance(actual, Label) and _in_group(loader, actual, asker, seen)
    if target.rule.name != "package_group":
        return False
    home = loader.cells.home(label.cell, label.package)
    if _listed(_texts(target, "packages"), home, asker):
        return True
    return any(_in_group(loader, each, asker, seen) for each in _labels(target, "includes"))


def _listed(entries: Iterable[str], home: Home, asker: Label) -> bool:
    """Whether the packages of a group have the asker's; `-` takes away."""
    admitted = False
    for entry in entries:
        try:
            matches = _matches(entry.removeprefix("-"), home, asker)
        except UserError:
            continue  # the group itself is at fault, and is told of
        if matches and entry.startswith("-"):
            return False
        admitted |= matches
    return admitted


def _matches(entry: str, home: Home, asker: Label) -> bool:
    if entry in ("public", "private"):
        return entry == "public"
    text = entry if entry.endswith("...") else f"{entry}:all"
    return home.pattern(text).matches(asker)


def faults_of_group(target: Target, home: Home) -> list[str]:
    """The entries of a `package_group` that are no packages."""
    wrong = []
    for entry in _texts(target, "packages"):
        try:
            _matches(entry.removeprefix("-"), home, target.label)
        except UserError:
            wrong.append(entry)
    return wrong


def for_tests(loader: Loader, target: Target, mention: Label, below: Target) -> Fault | None:
    """The fault of using what only tests may use; files that it makes may be used.

    An alias may stand for it: who uses the alias is asked.
    """
    if target.rule.name == _ALIAS:
        return None
    meant, below = _behind(loader, mention, below)
    if below.attributes.get("testonly") is not True or meant != below.label:
        return None
    if target.attributes.get("testonly") or target.rule.name.endswith(("_test", "_suite")):
        return None
    return Fault(
        loader.place(target, mention),
        f"`{mention}` is for tests only, and `{target.label}` is none",
        f"set `testonly = True` in `{target.label}`, or leave `{mention}` out",
    )


def _behind(loader: Loader, mention: Label, below: Target) -> tuple[Label, Target]:
    """What a label means, with what is behind aliases."""
    seen = {mention}
    while below.rule.name == _ALIAS and below.attributes.get("testonly") is not True:
        actual = below.attributes["actual"]
        if not isinstance(actual, Label) or actual in seen:
            break
        seen.add(actual)
        try:
            mention, below = actual, loader.configured(loader.target(actual))
        except FaultReport:
            break  # a file, or nothing, of which the alias itself is told
    return mention, below


def deprecation(loader: Loader, target: Target, mention: Label, below: Target) -> str:
    """A line about the use of what its own authors advise against, or ""."""
    advice = below.attributes.get("deprecation")
    same = (target.label.cell, target.label.package) == (below.label.cell, below.label.package)
    if not isinstance(advice, str) or not advice or same or target.attributes.get("deprecation"):
        return ""
    place = loader.place(target, mention)
    return f"warning: {place}: `{mention}` is deprecated: {advice}"


def _texts(target: Target, name: str) -> tuple[str, ...]:
    value = target.attributes[name]
    assert isinstance(value, tuple)
    return value


def _labels(target: Target, name: str) -> tuple[Label, ...]:
    value = target.attributes[name]
    assert isinstance(value, tuple)
    return value
