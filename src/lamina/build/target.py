"""A target: one rule call in a BUILD file after loading, with its attributes checked and typed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lamina.build.rule import Rule
from lamina.core.label import Label


@dataclass(frozen=True, slots=True)
class Target:
    """Label, rule and attributes; nothing about it depends on other build packages.

    Attributes have their canonical names, in the order of the rule, defaults filled in. By kind:
    LABEL and SOURCE a Label or None; LABEL_LIST a tuple of labels; SOURCES a tuple of (path in the
    build package, label); STRING_LIST a tuple; STRING_DICT a tuple of pairs in declared order.
    """

    label: Label
    rule: Rule
    attributes: Mapping[str, object]
    visibility: tuple[str, ...]  # "PUBLIC", "PRIVATE", "//a/...", "//a:x", "//a:all"
    given: frozenset[str] = frozenset()  # canonical names of the attributes the call set itself

    def dependencies(self) -> tuple[Label, ...]:
        """Every label it mentions, in declared order, each once."""
        found: dict[Label, None] = {}
        for value in self.attributes.values():
            found.update(dict.fromkeys(_labels(value)))
        return tuple(found)


def _labels(value: object) -> Iterator[Label]:
    """The labels in an attribute's value: itself, a tuple's elements, or a pair's second half."""
    if isinstance(value, Label):
        yield value
    elif isinstance(value, tuple):
        for element in value:
            if isinstance(element, Label):
                yield element
            elif isinstance(element, tuple):
                yield from _labels(element[1])
