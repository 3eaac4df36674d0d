"""A target: one rule call in a BUILD file after loading, with its attributes checked and typed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lamina.build.rule import Rule
from lamina.build.selects import conditions_in, is_open, leaves
from lamina.core.classes import dataclass, field
from lamina.core.label import Label


@dataclass(frozen=True, slots=True)
class Target:
    """Label, rule and attributes; nothing about it depends on other build packages.

    Attributes have their canonical names, in the order of the rule, defaults filled in. By kind:
    LABEL and SOURCE a Label or None; LABEL_LIST a tuple of labels; SOURCES a tuple of (path in the
    build package, label); STRING_LIST a tuple; STRING_DICT and LABEL_DICT a tuple of pairs in
    declared order. Where `select()` is used, a `Select` or `Joined` of such values.
    """

    label: Label
    rule: Rule
    attributes: Mapping[str, object]
    visibility: tuple[str, ...]  # "PUBLIC", "PRIVATE", "//a/...", "//a:x", "//a:all"
    given: frozenset[str] = frozenset()  # canonical names of the attributes the call set itself
    selects: tuple[str, ...] = ()  # canonical names of the attributes with a `select()`
    _mentions: tuple[Label, ...] | None = field(default=None, init=False, compare=False, repr=False)

    def dependencies(self) -> tuple[Label, ...]:
        """Every label it mentions, in declared order, each once; those of all branches."""
        if self._mentions is None:
            found: dict[Label, None] = {}
            for value in self.attributes.values():
                if value and not isinstance(value, (str, bool)):  # most are at their default
                    found.update(dict.fromkeys(labels_in(value)))
            object.__setattr__(self, "_mentions", tuple(found))  # asked for by every stage
        return self._mentions or ()

    def asker(self, mention: Label) -> Label:
        """Who has to see a label it mentions: the rule, where this needs it for itself."""
        home = self.rule.home
        if home is None or any(
            mention in labels_in(value)
            for name, value in self.attributes.items()
            if not name.startswith("_")
        ):
            return self.label
        return Label(home.cell, home.package, self.label.name)

    def conditions(self) -> tuple[Label, ...]:
        """The conditions of its selects, in declared order, each once."""
        values = (self.attributes[name] for name in self.selects)
        return tuple(dict.fromkeys(label for value in values for label in conditions_in(value)))


def labels_in(value: object) -> Iterator[Label]:
    """The labels in an attribute's value: itself, a tuple's elements, or a pair's label."""
    if isinstance(value, Label):
        yield value
    elif isinstance(value, tuple):
        for element in value:
            if isinstance(element, Label):
                yield element
            elif isinstance(element, tuple):
                label = element[1] if isinstance(element[1], Label) else element[0]
                if isinstance(label, Label):
                    yield label
    elif is_open(value):
        for leaf in leaves(value):
            yield from labels_in(leaf)
