"""Bootstraps as text; programs in Python are run in rules/test_python.py."""

from __future__ import annotations

import pytest

from lamina.build.bootstraps import python_bootstrap


@pytest.mark.parametrize("imports", [[], ["it's", "a/b"]])
def test_a_bootstrap_is_python(imports: list[str]) -> None:
    text = python_bootstrap(".lamina", "m", "p.m", "", imports)

    compile(text, "m.py", "exec")
