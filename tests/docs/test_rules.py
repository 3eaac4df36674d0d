"""docs/rules.md names every rule and attribute there is, under all their names, and no other.

`LAMINA_UPDATE_EXPECTED=1 pytest tests/docs` writes the tables anew.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from lamina.build import rule as rules
from lamina.build.attributes import COMMON, COMMON_ALIASES, Attribute, Kind
from lamina.build.rule import Rule

_PAGE = Path(__file__).parents[2] / "docs" / "rules.md"
_MARK = "<!-- from here on written by tests/docs/test_rules.py -->\n"


def test_the_page_has_every_rule_and_attribute() -> None:
    before, mark, tables = _PAGE.read_text().partition(_MARK)

    if os.environ.get("LAMINA_UPDATE_EXPECTED"):
        tables = _tables()
        _PAGE.write_text(before + mark + tables)
    assert tables == _tables()


def _tables() -> str:
    built_in = {rule.name: rule for rule in rules.registry().values() if not rule.missing}
    return "".join((*map(_section, built_in.values()), _common()))


def _section(rule: Rule) -> str:
    names = ", ".join(f"`{name}`" for name in rule.names)
    heading = f"\n## `{rule.name}`\n\n{rule.doc}"
    also = f" Also called {names}." if names else ""
    return f"{heading}{also}\n\n{_table(rule.attributes, rule.aliases)}"


def _common() -> str:
    return f"\n## Every rule\n\n{_table(COMMON, COMMON_ALIASES)}"


def _table(attributes: Mapping[str, Attribute], aliases: Mapping[str, str]) -> str:
    rows = "".join(
        f"| {_names(name, aliases)} | {attribute.kind.value} | {attribute.doc} |\n"
        for name, attribute in attributes.items()
        if attribute.kind is not Kind.ANY or attribute.doc
    )
    ignored = [
        f"`{name}`"
        for name, found in attributes.items()
        if found.kind is Kind.ANY and not found.doc
    ]
    note = f"\nAccepted and without effect: {', '.join(ignored)}.\n" if ignored else ""
    return f"| attribute | takes | meaning |\n| --- | --- | --- |\n{rows}{note}"


def _names(name: str, aliases: Mapping[str, str]) -> str:
    others = [alias for alias, canonical in aliases.items() if canonical == name]
    return ", ".join(f"`{each}`" for each in (name, *others))
