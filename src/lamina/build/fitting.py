"""What cannot be built: targets for another platform, of rules or of cells that are not here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lamina.build.faults import Fault, FaultReport
from lamina.build.selects import SelectFault, unmet
from lamina.build.target import Target
from lamina.core.classes import dataclass
from lamina.core.label import Label

if TYPE_CHECKING:
    from lamina.build.loader import Loader


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why a target cannot be built."""

    reason: str  # in a few words, of many targets
    what: str  # goes on after "`//a:b` is" and "`//a:b`, which is"
    hint: str = ""
    mention: Label | None = None  # what its BUILD file names, and in which attribute
    attribute: str = ""


def misfit(loader: Loader, target: Target) -> Misfit | None:
    """Why a target cannot be built whatever its selects say; raises FaultReport."""
    if target.rule.missing:
        return _without_rule(target)
    if not target.attributes.get("target_compatible_with"):
        return None
    try:
        constraint = unmet(target, loader.configuration, loader.target)
    except SelectFault as fault:
        place = loader.place(target, fault.mention, fault.attribute)
        message = f"`{target.label}`: {fault.message}"
        raise FaultReport([Fault(place, message, fault.hint or "")]) from fault
    return None if constraint is None else _elsewhere(loader, constraint)


def _without_rule(target: Target) -> Misfit:
    missing, name = target.rule.missing, target.rule.name
    kind = f"{'an' if name.startswith(_VOWELS) else 'a'} `{name}`"
    if missing.startswith("@"):
        return _absent(missing, f"{kind} of `{missing}`")
    return Misfit(f"no {missing}", f"{kind}: there are no {missing}", target.rule.doc)


_VOWELS = ("a", "e", "i", "o")


def _absent(cell: str, what: str, mention: Label | None = None) -> Misfit:
    hint = f"`{cell.removeprefix('@')} = false` below `[cells]` in `lamina.toml` says so"
    return Misfit(f"`{cell}` is not here", f"{what}, which is not here", hint, mention)


def _elsewhere(loader: Loader, constraint: Label) -> Misfit:
    platform = loader.configuration.platform
    where = f"the platform `{platform}`" if platform else "this machine"
    hint = "" if platform else "`--platforms` builds for another platform"
    what = f"not for {where}: it needs `{constraint}`"
    return Misfit("not for this platform", what, hint, constraint, "target_compatible_with")


def lacking(loader: Loader, target: Target) -> Misfit | None:
    """Why a target whose selects are decided cannot be built: it needs an absent cell."""
    for mention in target.dependencies():
        if loader.cells.is_absent(mention.cell):
            return _absent(f"@{mention.cell}", f"in need of `{mention}`", mention)
    return None


def spread(misfits: Mapping[Label, object], edges: Mapping[Label, Sequence[Label]]) -> Spread:
    """All targets that cannot be built, each with one below it that is at fault for that.

    `edges` has what targets depend on, dependencies before dependents.
    """
    found = {label: label for label in misfits}
    for label, below in edges.items():
        culprit = next((found[each] for each in below if each in found), None)
        if label not in found and culprit is not None:
            found[label] = culprit
    return found


Spread = dict[Label, Label]


def told(loader: Loader, label: Label, culprit: Label, why: Misfit) -> Fault:
    """The fault of asking by name for what cannot be built."""
    which = f"depends on `{culprit}`, which is" if label != culprit else "is"
    place = loader.place(loader.target(culprit), why.mention, why.attribute)
    return Fault(place, f"`{label}` {which} {why.what}", why.hint)
