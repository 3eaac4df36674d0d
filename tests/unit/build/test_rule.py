from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lamina.build import rule
from lamina.build.rule import Rule, index
from lamina.core.errors import UserError


def made(name: str, *names: str) -> Rule:
    return Rule(name, {}, lambda context: context, names=names)


def test_a_rule_is_known_by_all_its_names() -> None:
    known = index([made("python_library", "py_library"), made("genrule")])

    assert sorted(known) == ["genrule", "py_library", "python_library"]
    assert known["py_library"] is known["python_library"]


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(UserError, match="two rules are called `a`: `a` and `b`"):
        index([made("a"), made("b", "a")])


def test_the_built_in_rules_are_found_without_being_installed() -> None:
    known = rule.registry()

    assert known["py_library"] is known["python_library"]
    assert known["cc_library"] is known["cxx_library"]


def test_a_plugin_is_found_by_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "extra-1.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text(
        "[lamina.rules]\nextra = extra_rules_of_test\n[x]\na=b\n"
    )
    (tmp_path / "extra_rules_of_test.py").write_text(
        "from lamina.build.rule import Rule\nRULES = (Rule('extra_rule', {}, print),)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    try:
        assert "extra_rule" in rule.registry.__wrapped__()
    finally:
        sys.modules.pop("extra_rules_of_test", None)


def test_a_plugin_that_cannot_be_imported_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "extra-1.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text("[lamina.rules]\nextra = no_such_module_here\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(UserError, match="`no_such_module_here` cannot be loaded"):
        rule.registry.__wrapped__()
