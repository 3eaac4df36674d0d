"""`select()`: values that depend on the configuration, and the choice of one.

A target keeps all branches, so that loading does not depend on the configuration. `configure` makes
of it the target that is built, once it is known which conditions hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from lamina.core.classes import dataclass, replace
from lamina.core.errors import UserError
from lamina.core.label import Label

if TYPE_CHECKING:
    from lamina.build.conditions import Conditions, Lookup, Setting
    from lamina.build.configuration import Configuration
    from lamina.build.target import Target


@dataclass(frozen=True, slots=True)
class Select:
    """One `select()`; each branch has a value typed as the attribute's, None where it is unset."""

    branches: tuple[tuple[Label | None, object], ...]  # condition, None is the default -> value
    no_match_error: str = ""


@dataclass(frozen=True, slots=True)
class Joined:
    """What `+` and `|` made of values and selects, in order."""

    parts: tuple[object, ...]


class SelectFault(UserError):
    """A `select()` that cannot be decided, by the attribute it is in or the condition it names."""

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        attribute: str = "",
        mention: Label | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.attribute = attribute
        self.mention = mention


def is_default(text: str) -> bool:
    """Whether the key of a branch stands for "else", in either dialect."""
    return text in ("//conditions:default", "DEFAULT")


def is_open(value: object) -> bool:
    """Whether the value of an attribute is not known before there is a configuration."""
    return isinstance(value, (Select, Joined))


def leaves(value: object) -> Iterator[object]:
    """The plain values that one may become, or be joined of."""
    if isinstance(value, Select):
        for _, branch in value.branches:
            yield from leaves(branch)
    elif isinstance(value, Joined):
        for part in value.parts:
            yield from leaves(part)
    else:
        yield value


def conditions_in(value: object) -> Iterator[Label]:
    """The conditions that a value depends on, in declared order."""
    if isinstance(value, Select):
        for condition, branch in value.branches:
            if condition is not None:
                yield condition
            yield from conditions_in(branch)
    elif isinstance(value, Joined):
        for part in value.parts:
            yield from conditions_in(part)


def configure(target: Target, configuration: Configuration, lookup: Lookup) -> Target:
    """The target with every select decided; the same object where it has none.

    `lookup` gives the target of a condition. Raises SelectFault where no condition holds or several
    do that disagree, and FaultReport for what is wrong with a condition itself.
    """
    if not target.selects and target.rule.name not in _REDIRECTED:
        return target
    conditions = _conditions(configuration, lookup)
    chosen = {name: _decided(target.attributes[name], name, conditions) for name in target.selects}
    unset = {name for name, value in chosen.items() if value is None}
    changed = chosen | {name: _default(target, name) for name in unset}
    for name, value in changed.items():
        _check(target, name, value)
    if target.rule.name in _REDIRECTED:
        changed |= conditions.redirection(target)
    attributes = MappingProxyType({**target.attributes, **changed})
    return replace(target, attributes=attributes, given=target.given - unset, selects=())


def unmet(target: Target, configuration: Configuration, lookup: Lookup) -> Label | None:
    """The first constraint a target asks for that the platform has not; raises as `configure`."""
    name = "target_compatible_with"
    conditions = _conditions(configuration, lookup)
    labels = _decided(target.attributes[name], name, conditions)
    return conditions.unmet(labels) if isinstance(labels, tuple) else None


_REDIRECTED = frozenset(
    {"label_flag", "label_setting"}
)  # the command line says what they stand for


@lru_cache(maxsize=4)
def _conditions(configuration: Configuration, lookup: Lookup) -> Conditions:
    from lamina.build.conditions import Conditions  # met only by who uses `select`

    return Conditions(configuration, lookup)


def _default(target: Target, name: str) -> object:
    """The value of an attribute that the chosen branch leaves unset."""
    from lamina.build.attributes import COMMON
    from lamina.build.coerce import coerce
    from lamina.core.label import Home

    attribute = target.rule.attributes.get(name) or COMMON[name]
    return coerce(attribute, name, attribute.default, Home())


def _check(target: Target, name: str, value: object) -> None:
    """Raises SelectFault where a required attribute is unset for this configuration."""
    attribute = target.rule.attributes.get(name)
    if attribute is None or not attribute.required or isinstance(value, int):
        return  # False and 0 are as good as others
    if value == attribute.empty:
        raise SelectFault(f"`{name}` is empty for this configuration", attribute=name)


def _decided(value: object, name: str, conditions: Conditions) -> object:
    if isinstance(value, Select):
        return _decided(_chosen(value, name, conditions), name, conditions)
    if isinstance(value, Joined):
        return _join([_decided(part, name, conditions) for part in value.parts])
    return value


def _join(parts: list[object]) -> object:
    """The parts in one: strings and lists one after the other, in dicts the later entry wins."""
    given = [part for part in parts if part is not None]
    if all(isinstance(part, str) for part in given):
        return "".join(str(part) for part in given)
    joined = tuple(element for part in given if isinstance(part, tuple) for element in part)
    if joined and all(_is_entry(element) for element in joined):
        return tuple(dict(joined).items())
    return joined


def _is_entry(element: object) -> bool:
    """Whether it is an entry of a dict, of which the last with a key counts."""
    return isinstance(element, tuple) and len(element) == 2 and not isinstance(element[1], Label)


def _chosen(select: Select, name: str, conditions: Conditions) -> object:
    """The value of the branch whose condition holds; of several, that of the most special."""
    holding: list[tuple[Label, frozenset[Setting], object]] = []
    for condition, value in select.branches:
        if condition is not None:
            settings = conditions.settings(condition)
            if settings is not None:
                holding.append((condition, settings, value))
    best = [one for one in holding if not any(one[1] < other[1] for other in holding)]
    if any(value != best[0][2] for _, _, value in best):
        raise _ambiguous(name, [label for label, _, _ in best])
    if best:
        return best[0][2]
    for condition, value in select.branches:
        if condition is None:
            return value
    raise _no_match(select, name)


def _ambiguous(name: str, labels: list[Label]) -> SelectFault:
    shown = ", ".join(f"`{label}`" for label in labels)
    return SelectFault(
        f"several conditions of the `select` in `{name}` hold: {shown}",
        hint="let one of them ask for more than the others, or give them the same value",
        attribute=name,
        mention=labels[1],
    )


def _no_match(select: Select, name: str) -> SelectFault:
    labels = [f"`{condition}`" for condition, _ in select.branches]
    if select.no_match_error:
        message = select.no_match_error
        hint = f"none of these holds: {', '.join(labels)}"
    else:
        message = f"no condition of the `select` in `{name}` holds: {', '.join(labels)}"
        hint = "add a branch `//conditions:default`"
    return SelectFault(message, hint=hint, attribute=name)
